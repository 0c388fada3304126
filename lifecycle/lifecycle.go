// Package lifecycle decides what starts in which order, and what drains, in
// which order and for how long.
//
// A Runner is told four kinds of things and runs them in one written order:
//
//  1. start steps, one after another, in the order they were added;
//  2. workers, at the same time, until the end of the drain;
//  3. drain steps, one after another, in the order they were added, each with
//     a budget of its own;
//  4. stop steps, in the reverse order of what started.
//
// The first error wins: it begins the drain, and Run returns it. Only what
// started is stopped. No step can hold up the end: what overruns its budget is
// abandoned, and what is still running when the total is spent is named in the
// error.
package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Func is one piece of work. It should return soon after its context ends.
type Func = func(context.Context) error

// ErrDone is what a worker returns when its work is finished for good while
// the service goes on. Any other return before the drain ends the service.
var ErrDone = errors.New("work is done")

// Step is one step of the drain. A step whose turn comes when the budget is spent
// runs all the same, with a context that has ended.
type Step struct {
	// Name is shown in logs and errors.
	Name string
	// Budget is how long the step may take. Zero: what is left of
	// Config.DrainBudget.
	Budget time.Duration
	// BestEffort: an error or an overrun is logged and is not returned by Run.
	BestEffort bool
	// Run does it. Its context ends with the step's budget; a step that merely
	// waits should then return nil.
	Run Func
}

// Config holds the time budgets. The zero Config works.
type Config struct {
	// DrainBudget bounds all drain steps together. Zero: 30 s.
	DrainBudget time.Duration
	// WorkerBudget bounds how long workers may take to return once their
	// context has ended. Zero: 5 s.
	WorkerBudget time.Duration
	// StopBudget bounds all stop steps together; each gets an equal share of
	// what is left. A part of it (a quarter, 250 ms at most) is the grace that
	// an ended context leaves a step to return. Zero: 5 s.
	StopBudget time.Duration
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&c.DrainBudget, 30*time.Second)
	set(&c.WorkerBudget, 5*time.Second)
	set(&c.StopBudget, 5*time.Second)
	return c
}

// Total is the longest time from the beginning of the drain to the return of
// Run: the three budgets together. An orchestrator's grace period
// (terminationGracePeriodSeconds) has to be longer.
func (c Config) Total() time.Duration {
	c = c.withDefaults()
	return c.DrainBudget + c.WorkerBudget + c.StopBudget
}

// Option changes how a Runner or SignalContext behaves.
type Option interface{ apply(*options) }

type options struct {
	log     *slog.Logger
	observe func(State)
	exit    func(code int)
}

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithLogger logs each step with its duration. The default logs nothing.
func WithLogger(log *slog.Logger) Option {
	return optionFunc(func(o *options) {
		if log != nil {
			o.log = log
		}
	})
}

// WithObserver calls f at each change of state, in order, from the goroutine
// that called Run, which waits for it.
func WithObserver(f func(State)) Option {
	return optionFunc(func(o *options) { o.observe = f })
}

func newOptions(opts []Option) options {
	o := options{log: slog.New(slog.DiscardHandler), observe: func(State) {}}
	for _, opt := range opts {
		opt.apply(&o)
	}
	return o
}

// unit is what a name stands for: a start step, a stop step, or both.
type unit struct {
	name        string
	start, stop Func
}

// Runner runs one service from start to end. Its methods are safe for
// concurrent use. It owns every goroutine it starts; Run has waited for them
// when it returns.
type Runner struct {
	cfg     Config
	options options

	mu      sync.Mutex
	state   State
	units   []*unit // in the order they were added
	started []*unit // in the order they started
	workers []worker
	drains  []Step
	tasks   []*task // goroutines, in the order they began
	first   error
	failed  chan struct{} // closed with the first error

	workerCtx context.Context         // ends after the last drain step
	callOff   context.CancelCauseFunc // ends the context of the start steps
}

type worker struct {
	name string
	f    Func
}

// New makes a Runner. It starts nothing.
func New(cfg Config, opts ...Option) *Runner {
	return &Runner{cfg: cfg.withDefaults(), options: newOptions(opts), failed: make(chan struct{})}
}

// State says where the Runner is.
func (r *Runner) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state
}

// OnStart adds a start step. Steps run one after another in the order they
// were added; the first that fails ends the start. A step that fails, or
// that is given up because it ignores its context, has to clean up after itself.
// Its context ends when the start is over or called off; a goroutine that shall
// live longer belongs to Go.
//
// It has to be called before Run; a later call is logged and ignored.
func (r *Runner) OnStart(name string, f Func) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != StateNew {
		r.ignored("start step", name)
		return
	}
	r.unit(name, func(u *unit) bool { return u.start == nil }).start = f
}

// OnStop adds a stop step. Stop steps run after the drain, in the reverse order
// of what started. If a start step of the same name exists, the stop step runs
// only if that one succeeded; without one it runs always.
//
// It may be called before Run, or from a start step, for what this step opened.
// Once the drain has begun, a call is logged and ignored.
func (r *Runner) OnStop(name string, f Func) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.state {
	case StateNew:
		r.unit(name, func(u *unit) bool { return u.stop == nil }).stop = f
	case StateStarting, StateRunning:
		r.started = append(r.started, &unit{name: name, stop: f})
	default:
		r.ignored("stop step", name)
	}
}

// unit finds the unit of this name that has room, or adds one.
func (r *Runner) unit(name string, room func(*unit) bool) *unit {
	for _, u := range r.units {
		if u.name == name && room(u) {
			return u
		}
	}
	u := &unit{name: name}
	r.units = append(r.units, u)
	return u
}

// OnDrain adds drain steps, in the order in which they will run. They run only
// if everything had started.
//
// Once the drain has begun, a call is logged and ignored.
func (r *Runner) OnDrain(steps ...Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state >= StateDraining {
		for _, s := range steps {
			r.ignored("drain step", s.Name)
		}
		return
	}
	r.drains = append(r.drains, steps...)
}

// Go adds a worker. Workers added before Run begin once every start step has
// succeeded; one added from a start step, or later, begins at once. A worker's
// context ends after the last drain step. A worker that returns before the
// drain ends the service, with or without an error, unless it returns ErrDone.
//
// Once the drain has begun, a call is logged and ignored.
func (r *Runner) Go(name string, f Func) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch r.state {
	case StateNew:
		r.workers = append(r.workers, worker{name, f})
	case StateStarting, StateRunning:
		r.launch(worker{name, f})
	default:
		r.ignored("worker", name)
	}
}

func (r *Runner) ignored(kind, name string) {
	r.options.log.Warn("lifecycle: added too late, ignored", "kind", kind, "name", name, "state", r.state.String())
}
