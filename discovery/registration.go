package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// RegistrationConfig is what can be set about a registration. The zero value works; durations of zero or less mean the default.
type RegistrationConfig struct {
	// CheckInterval is how often a registered instance looks whether it is still there, jittered by a tenth. Default
	// DefaultCheckInterval.
	CheckInterval time.Duration
	// AttemptTimeout bounds one attempt to register or to check. Default DefaultAttemptTimeout.
	AttemptTimeout time.Duration
	// DeregisterTimeout bounds the deregistration. Default DefaultDeregisterTimeout.
	DeregisterTimeout time.Duration
	// MinBackoff is the pause before the first repetition of a failed attempt. Default DefaultMinBackoff.
	MinBackoff time.Duration
	// MaxBackoff is the longest pause between two attempts; each pause is jittered. Default DefaultMaxBackoff.
	MaxBackoff time.Duration
}

func (c RegistrationConfig) withDefaults() RegistrationConfig {
	c.CheckInterval = positive(c.CheckInterval, DefaultCheckInterval)
	c.AttemptTimeout = positive(c.AttemptTimeout, DefaultAttemptTimeout)
	c.DeregisterTimeout = positive(c.DeregisterTimeout, DefaultDeregisterTimeout)
	c.MinBackoff = positive(c.MinBackoff, DefaultMinBackoff)
	c.MaxBackoff = positive(c.MaxBackoff, DefaultMaxBackoff)
	return c
}

// State is where a registration stands.
//
//	Pending --registered--> Registered --lost, or cannot tell--> Degraded
//	   |                        ^   |                               |
//	   |                        +---|------------registered---------+
//	   +----------------------------+------ctx of Run ends----------+--> Ended
type State int

// The states of a registration.
const (
	// StatePending means that the instance has not been registered since Run began.
	StatePending State = iota
	// StateRegistered means that the registry confirmed the instance at the last attempt.
	StateRegistered
	// StateDegraded means that the instance was registered, and that the registry lost it or cannot be asked.
	StateDegraded
	// StateEnded means that Run has ended.
	StateEnded
)

// String gives the state as it appears in logs: pending, registered, degraded or ended.
func (s State) String() string {
	switch s {
	case StateRegistered:
		return "registered"
	case StateDegraded:
		return "degraded"
	case StateEnded:
		return "ended"
	default:
		return "pending"
	}
}

// Registration keeps one instance registered. It never gives up: whatever the registry does (unreachable at start, restarted, wiped),
// the instance is registered again soon after the registry is back, and it never stops the service from serving. Its methods are safe for
// concurrent use.
type Registration struct {
	driver Registrar
	in     Instance
	cfg    RegistrationConfig
	opts   options
	met    registrationMetrics

	// Run's alone.
	log    lines
	logged time.Time // the last line

	mu    sync.Mutex
	state State
	err   error
}

// NewRegistration returns the registration of an instance; [Registration.Run] does the work. The error says what is wrong with the
// instance.
func NewRegistration(driver Registrar, in Instance, cfg RegistrationConfig, opts ...Option) (*Registration, error) {
	if err := in.Validate(); err != nil {
		return nil, fmt.Errorf("validate instance to register: %w", err)
	}
	o := newOptions(opts)
	return &Registration{
		driver: driver, in: in.withDefaults(), cfg: cfg.withDefaults(), opts: o, met: newRegistrationMetrics(o.reg),
		log: newLines(o.log.With("service.name", in.Service, "instance", in.ID)),
		err: errors.New("not registered yet"),
	}, nil
}

// Instance returns what is registered.
func (r *Registration) Instance() Instance { return r.in }

// State returns the state, and why it is not StateRegistered.
func (r *Registration) State() (State, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.err
}

// Healthy returns nil while the instance is registered, otherwise the reason. It has the shape of a readiness check that may only ever
// degrade: a registry that is away is no reason to take no calls. It does not block; ctx is not used.
func (r *Registration) Healthy(context.Context) error {
	_, err := r.State()
	return err
}

// Run registers the instance and keeps it registered until ctx ends; then it deregisters it, in several attempts if need be, and returns.
// That takes DeregisterTimeout at the longest, even if the driver does not come back from it; its error is the only one that Run returns,
// and it is no reason to stop a drain. Run may be called once.
func (r *Registration) Run(ctx context.Context) error {
	var ended atomic.Pointer[time.Time]
	defer context.AfterFunc(ctx, func() { now := time.Now(); ended.Store(&now) })()
	r.met.registered.WithLabelValues(r.in.Service).Set(0)
	b := backoff{min: r.cfg.MinBackoff, max: r.cfg.MaxBackoff}
	for ctx.Err() == nil && r.register(ctx) {
		start := time.Now()
		r.keep(ctx)
		if time.Since(start) > r.cfg.MaxBackoff {
			b.reset()
		} else { // a registry that loses it at once, or another process with the same ID, is not fought at full speed
			pause(ctx, b.next())
		}
	}
	left := r.cfg.DeregisterTimeout
	if at := ended.Load(); at != nil { // what was under way has used some of it
		left -= time.Since(*at)
	}
	err := r.deregister(ctx, left)
	r.set(StateEnded, nil)
	return err
}

// register tries until it succeeds or ctx ends. An attempt that is under way by then may end by itself for a while: the registry may have
// received it, and what it does not do before the deregistration it does after it.
func (r *Registration) register(ctx context.Context) bool {
	b := backoff{min: r.cfg.MinBackoff, max: r.cfg.MaxBackoff}
	begun, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(r.cfg.DeregisterTimeout/2, cancel) })()
	for {
		err := r.attempt(begun, "register", r.driver.Register)
		if err == nil {
			r.set(StateRegistered, nil)
			return ctx.Err() == nil
		}
		if ctx.Err() != nil {
			return false
		}
		r.set(StateDegraded, fmt.Errorf("register %s: %w", r.in.ID, err))
		if !pause(ctx, b.next()) {
			return false
		}
	}
}

// minCheckPause bounds how often a driver is asked that says at once that all is well.
const minCheckPause = time.Millisecond

// keep returns when the registry has lost the instance or ctx has ended.
func (r *Registration) keep(ctx context.Context) {
	b := backoff{min: r.cfg.MinBackoff, max: r.cfg.MaxBackoff}
	var wait time.Duration
	for pause(ctx, wait) {
		start := time.Now()
		err := r.attempt(ctx, "check", r.driver.Check)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			r.set(StateRegistered, nil)
			b.reset()
			// A check that blocked while all was well need not be waited for again.
			wait = max(jitter(r.cfg.CheckInterval)-time.Since(start), minCheckPause)
		case errors.Is(err, ErrNotRegistered):
			r.set(StateDegraded, fmt.Errorf("check %s: %w", r.in.ID, err))
			return
		default:
			r.set(StateDegraded, fmt.Errorf("check %s: %w", r.in.ID, err))
			wait = b.next()
		}
	}
}

func (r *Registration) attempt(ctx context.Context, op string, f func(context.Context, Instance) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.AttemptTimeout)
	defer cancel()
	err := f(ctx, r.in)
	r.count(op, err)
	return err
}

func (r *Registration) count(op string, err error) {
	result := "ok"
	switch {
	case errors.Is(err, ErrNotRegistered):
		result = "missing"
	case err != nil:
		result = "error"
	}
	r.met.attempts.WithLabelValues(r.in.Service, op, result).Inc()
}

// deregister gives the driver its time and no more: the goroutine outlives the call only if the driver breaks its contract.
func (r *Registration) deregister(ctx context.Context, left time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.leave(ctx, left-left/20) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("deregister %s within %s: %w", r.in.ID, r.cfg.DeregisterTimeout, err)
		r.log.log.Warn("instance not deregistered; the registry may name it until its check fails", "error", err)
	}
	return err
}

// leave tries to deregister until it succeeds or its time is up, which is a little before nobody listens any more: a registry that is back
// by then need not find out by itself that the instance is gone. An instance that never was registered is not worth waiting for.
func (r *Registration) leave(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	b := backoff{min: r.cfg.MinBackoff, max: 4 * r.cfg.MinBackoff} // there is little time
	state, _ := r.State()
	for {
		err := r.driver.Deregister(ctx, r.in)
		r.count("deregister", err)
		if err == nil || state == StatePending || !pause(ctx, b.next()) {
			return err
		}
	}
}

// set changes the state and tells about it when something changed.
func (r *Registration) set(s State, err error) {
	r.mu.Lock()
	if s == StateDegraded && r.state == StatePending {
		s = StatePending
	}
	before, beforeErr := r.state, r.err
	r.state, r.err = s, err
	r.mu.Unlock()
	same := before == s && (err == nil) == (beforeErr == nil) && (err == nil || err.Error() == beforeErr.Error())
	// A registry that goes on to fail, in ever other words, is told of once in a while.
	news := !same && (before != s || beforeErr == nil || r.logged.IsZero() || time.Since(r.logged) >= failedAgain)
	if news || r.log.due() {
		r.logged = time.Now()
		r.tell(s, err)
	}
	if same {
		return
	}
	gauge := 0.0
	if s == StateRegistered {
		gauge = 1
	}
	r.met.registered.WithLabelValues(r.in.Service).Set(gauge)
	if r.opts.onState != nil {
		r.opts.onState(s, err)
	}
}

func (r *Registration) tell(s State, err error) {
	if err != nil {
		r.log.tell(r.log.log.Warn, "registration changed", "state", s.String(), "error", err)
	} else {
		r.log.tell(r.log.log.Info, "registration changed", "state", s.String())
	}
}
