package breaker

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
)

// Breaker keeps calls from one method of one target while it is sick. It is safe
// for concurrent use.
//
//	        too many failures               its time is over, a call comes
//	closed ------------------->  open  -----------------------------------> half-open
//	   ^                           ^                                          |    |
//	   |                           +------------- a probe failed -------------+    |
//	   +------------------------ enough probes ended well -------------------------+
type Breaker struct {
	set   *Set
	key   key
	phase atomic.Pointer[phase]
	// usual is how long a call that ends well takes, smoothed; 0 if not known.
	usual atomic.Int64
	// rejections is how many calls it did not let through.
	rejections atomic.Uint64
	// forgotten tells that its target was closed: its metrics are gone.
	forgotten atomic.Bool

	mu    sync.Mutex // guards changes of phase, and what is below
	level int        // how often the open time has grown; -1 before the first trip
	trips tally      // what opened it last
}

// tally is what counted in a window.
type tally struct{ calls, failures int }

// phase is the time between two changes of state. Its address tells calls of
// different phases apart.
type phase struct {
	state State
	since time.Time

	// Of a closed breaker: what counted, and whether it is too much.
	window  *gobreaker.CircuitBreaker[struct{}]
	tripped atomic.Bool
	trips   tally // written before tripped

	// Of an open and a half-open one: who lets probes through, where gobreaker
	// says that it has gone, and the probes that it waits for. All guarded by
	// the breaker's mutex.
	gate   *gate
	until  time.Time
	probes []*probe
}

// gate is one try to close again: gobreaker from its opening on until it closes
// or opens anew. gobreaker's open time never changes, so each try is another one.
type gate struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	state gobreaker.State
}

func newBreaker(s *Set, k key) *Breaker {
	b := &Breaker{set: s, key: k, level: -1}
	b.phase.Store(b.closed(time.Now()))
	return b
}

// Name returns the name of the breaker, "target method": what CIRCUIT_OPEN
// carries in its metadata.
func (b *Breaker) Name() string { return b.key.target + " " + b.key.method }

// State returns the state. A breaker stays open until a call comes after its
// time.
func (b *Breaker) State() State { return b.phase.Load().state }

// Snapshot returns the state for people and tools.
func (b *Breaker) Snapshot() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	ph := b.phase.Load()
	s := Snapshot{Target: b.key.target, Method: b.key.method, State: ph.state.String(), Since: ph.since, Calls: b.trips.calls, Failures: b.trips.failures, Rejections: b.rejections.Load()}
	switch ph.state {
	case Open:
		s.NextProbe = ph.until
	case Closed:
		ph.window.State() // lets go of what is too old
		c := ph.window.Counts()
		s.Calls, s.Failures = int(c.TotalSuccesses+c.TotalFailures), int(c.TotalFailures)
	}
	return s
}

// Begin asks whether a call may be made, and begins its pass, whose End is to be
// called when the call has ended; p must be a zero Pass. The record's deadline
// and its Start must be set by now. It returns nil, or an [*errs.Error] for a call that must
// not be made, which needs no End. A method whose policy says breaker off is
// always let through. Nothing is allocated while the breaker is closed.
func (b *Breaker) Begin(c *call.Call, p *Pass) error {
	if !c.Method.Effective().Breaker {
		return nil
	}
	if ph := b.phase.Load(); ph.state == Closed {
		p.begin(b, ph, c)
		return nil
	}
	return b.probe(c, p, time.Now())
}

// probe lets a call through a breaker that is not closed, or does not.
func (b *Breaker) probe(c *call.Call, p *Pass, now time.Time) error {
	b.mu.Lock()
	var said []change
	ph := b.phase.Load()
	if ph.state == HalfOpen {
		ph.sweep(now, b.set.cfg.ProbeWait)
		said = b.follow(said, now)
		ph = b.phase.Load()
	}
	var wait time.Duration
	if ph.state == Open {
		wait = ph.until.Sub(now)
	}
	if ph.state != Closed && wait <= 0 {
		done, err := ph.gate.Allow()
		said = b.follow(said, now)
		ph = b.phase.Load()
		if err == nil {
			ph.expect(p, done, now)
		} else {
			wait = ph.room(now, b.set.cfg.ProbeWait)
		}
	}
	if wait <= 0 {
		p.begin(b, ph, c)
	}
	b.mu.Unlock()
	b.announce(said)
	if wait <= 0 {
		return nil
	}
	b.rejections.Add(1)
	if !b.forgotten.Load() {
		b.set.metrics.reject(b.key)
	}
	return errs.Unavailable(errs.ReasonCircuitOpen, "too many calls of %s at %s fail, so none is sent for now; wait %s", c.Method.FullName, b.key.target, wait.Round(time.Millisecond)).
		With(errs.Meta("breaker", b.Name()), errs.RetryAfter(wait))
}

// change is a change of state, to be told when the mutex is free.
type change struct {
	to    State
	trips tally
	wait  time.Duration
}

// follow goes where gobreaker has gone; the caller holds the mutex.
func (b *Breaker) follow(said []change, now time.Time) []change {
	ph := b.phase.Load()
	if ph.state == Closed {
		return said
	}
	switch to := ph.gate.state; {
	case to == gobreaker.StateClosed:
		return b.enter(said, b.closed(now))
	case to == gobreaker.StateHalfOpen && ph.state == Open:
		return b.enter(said, &phase{state: HalfOpen, since: now, gate: ph.gate})
	case to == gobreaker.StateOpen && ph.state == HalfOpen:
		b.level++
		return b.enter(said, b.open(now))
	}
	return said
}

// trip opens the breaker because of what happened in a closed phase, once.
func (b *Breaker) trip(ph *phase, now time.Time) {
	b.mu.Lock()
	var said []change
	if b.phase.Load() == ph {
		b.trips = ph.trips
		b.level++
		if now.Sub(ph.since) >= b.set.cfg.Window { // not the same trouble as before
			b.level = 0
		}
		said = b.enter(said, b.open(now))
	}
	b.mu.Unlock()
	b.announce(said)
}

func (b *Breaker) enter(said []change, ph *phase) []change {
	b.phase.Store(ph)
	if !b.forgotten.Load() {
		b.set.metrics.enter(b.key, ph.state)
	}
	c := change{to: ph.state, trips: b.trips}
	if ph.state == Open {
		c.wait = ph.until.Sub(ph.since)
	}
	return append(said, c)
}

// announce logs what happened; the caller does not hold the mutex.
func (b *Breaker) announce(said []change) {
	for _, c := range said {
		attrs := []slog.Attr{slog.String("target", b.key.target), slog.String("method", b.key.method), slog.String("state", c.to.String())}
		level, message := slog.LevelInfo, "breaker lets probes through"
		switch c.to {
		case Closed:
			message = "breaker closed"
		case Open:
			level, message = slog.LevelWarn, "breaker opened"
			attrs = append(attrs, slog.Duration("for", c.wait), slog.Int("calls", c.trips.calls), slog.Int("failures", c.trips.failures))
		}
		b.set.log.LogAttrs(context.Background(), level, message, attrs...)
	}
}

// closed returns a new closed phase.
func (b *Breaker) closed(now time.Time) *phase {
	cfg := b.set.cfg
	ph := &phase{state: Closed, since: now}
	ph.window = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Interval:     cfg.Window,
		BucketPeriod: max(cfg.Window/buckets, 1),
		ReadyToTrip: func(c gobreaker.Counts) bool {
			t := tally{int(c.TotalSuccesses + c.TotalFailures), int(c.TotalFailures)}
			if t.calls < cfg.MinCalls || t.failures < cfg.MinFailures || float64(t.failures) < cfg.FailureRatio*float64(t.calls) {
				return false
			}
			ph.trips = t
			return true
		},
		// Called under gobreaker's mutex: say so and nothing else.
		OnStateChange: func(string, gobreaker.State, gobreaker.State) { ph.tripped.Store(true) },
	})
	return ph
}

// open returns a new open phase.
func (b *Breaker) open(now time.Time) *phase {
	cfg := b.set.cfg
	wait := cfg.OpenTime
	for range b.level {
		if wait *= openGrowth; wait >= cfg.MaxOpenTime {
			wait = cfg.MaxOpenTime
			break
		}
	}
	wait -= time.Duration(float64(wait) * openJitter * rand.Float64())
	g := &gate{}
	g.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: uint32(cfg.Probes), //nolint:gosec // validated
		Timeout:     wait - 1,           // gobreaker waits for more than that
		ReadyToTrip: func(gobreaker.Counts) bool { return true },
		IsExcluded:  func(err error) bool { return err == errIgnored }, //nolint:errorlint // our own, as it is
		// Every call that can get here is made under the breaker's mutex.
		OnStateChange: func(_ string, _, to gobreaker.State) { g.state = to },
	})
	if done, err := g.Allow(); err == nil {
		done(errFailed)
	}
	return &phase{state: Open, since: now, gate: g, until: time.Now().Add(wait)}
}
