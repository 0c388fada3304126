// Package health says whether an instance is ready: to gRPC clients through
// grpc.health.v1, to orchestrators through /livez and /readyz.
//
// One rule holds for all of them. Only what is wrong with this instance alone
// takes it out of traffic: its start, its migration, its drain, its listener,
// its own disk. These are conditions. What all instances share (a database, a
// registry, another service) is a dependency: it is shown as degraded, and
// changes neither the gRPC status nor the code of /readyz, because taking every
// instance away at once turns a slow dependency into an outage.
//
// On drain, Drain says NOT_SERVING to every watch, and EndWatches ends them, so
// that a graceful stop of the gRPC server does not wait for them forever.
package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Config holds the numbers. The zero Config works.
type Config struct {
	// Interval is how often each dependency is checked, give or take 10 %.
	// Zero: 10 s.
	Interval time.Duration
	// Timeout bounds one check of a dependency. Zero: 2 s.
	Timeout time.Duration
	// Grace is how long a dependency that was never well has for it: until then it
	// is checked ten times as often and logged as not ready yet; only after that
	// its failure is a warning. Readiness shows it from the first check. Zero: 5 s.
	Grace time.Duration
	// MaxWatches is how many Watch streams may be open at once; more are
	// answered RESOURCE_EXHAUSTED. Zero: 65,536.
	MaxWatches int
}

func (c Config) withDefaults() Config {
	if c.Interval <= 0 {
		c.Interval = 10 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 2 * time.Second
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.MaxWatches <= 0 {
		c.MaxWatches = 65536
	}
	return c
}

// Option changes how a Health behaves.
type Option interface{ apply(*Health) }

type optionFunc func(*Health)

func (f optionFunc) apply(h *Health) { f(h) }

// WithLogger logs each change of readiness and of a dependency. The default
// logs nothing.
func WithLogger(log *slog.Logger) Option {
	return optionFunc(func(h *Health) {
		if log != nil {
			h.log = log
		}
	})
}

// drainCondition is the name under which a drain shows in the report.
const drainCondition = "drain"

// Health holds what is known about one instance. It is ready when it does not
// drain and every condition holds. Its methods are safe for concurrent use.
type Health struct {
	cfg Config
	log *slog.Logger

	mu           sync.Mutex
	services     map[string]bool // registered names; "" is the instance
	conditions   []*Condition    // in the order they were added
	dependencies []*dependency   // in the order they were added
	draining     bool
	drainSince   time.Time
	ready        bool          // derived by update
	everReady    bool          // all conditions held once
	changed      chan struct{} // closed and replaced when a gRPC status may have changed
	ended        chan struct{} // closed by EndWatches
	watches      int

	added chan struct{} // tells Run of a new dependency
}

// New makes a Health that knows no condition and no service: it is ready, and
// answers for the empty name only. It starts nothing.
func New(cfg Config, opts ...Option) *Health {
	h := &Health{
		cfg:      cfg.withDefaults(),
		log:      slog.New(slog.DiscardHandler),
		services: map[string]bool{"": true},
		ready:    true,
		changed:  make(chan struct{}),
		ended:    make(chan struct{}),
		added:    make(chan struct{}, 1),
	}
	for _, opt := range opts {
		opt.apply(h)
	}
	return h
}

// Register adds the gRPC health service to s.
func (h *Health) Register(s grpc.ServiceRegistrar) {
	healthpb.RegisterHealthServer(s, h.Server())
}

// SetServing makes services known by their full names, for example
// "user.v1.UserService". Each is SERVING while the instance is ready.
func (h *Health) SetServing(services ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range services {
		h.services[s] = true
	}
	h.wake()
}

// Remove makes a service unknown, which [Health.SetServing] made known. Those who
// watch it hear SERVICE_UNKNOWN.
func (h *Health) Remove(service string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.services, service)
	h.wake()
}

// Drain makes the instance and every service NOT_SERVING, and /readyz fail, for
// good, whatever the conditions say. Open watches hear it at once and stay open
// until EndWatches. Calling it again has no effect.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.draining {
		return
	}
	h.draining, h.drainSince = true, time.Now()
	h.update()
}

// EndWatches ends every open watch with UNAVAILABLE, reason DRAINING, after it
// was told NOT_SERVING, and refuses new ones with the same status and no message
// before it: a client's health check then waits before it tries again. It also
// drains. It does not wait for the streams. Calling it again has no effect.
func (h *Health) EndWatches() {
	h.Drain()
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.ended:
	default:
		close(h.ended)
	}
}

// Ready says whether the instance takes traffic.
func (h *Health) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ready
}

// update derives readiness anew and wakes the watches if it changed. h.mu is
// held.
func (h *Health) update() {
	ready, why := !h.draining, "draining"
	for _, c := range h.conditions {
		if ready && !c.ok {
			ready, why = false, c.name+": "+c.reason
		}
	}
	if ready == h.ready {
		return
	}
	h.ready = ready
	switch {
	case ready:
		h.everReady = true
		h.log.Info("health: ready")
	case h.draining || !h.everReady: // as it should be: stopping, or still starting
		h.log.Info("health: not ready", "reason", why)
	default:
		h.log.Warn("health: not ready", "reason", why)
	}
	h.wake()
}

// wake lets every watch look again. h.mu is held.
func (h *Health) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// Condition is one thing that has to hold before this instance takes traffic.
// Its methods are safe for concurrent use.
type Condition struct {
	health *Health
	name   string
	ok     bool
	reason string
	since  time.Time
}

// Condition gives the condition of this name, and adds it if there is none. A
// new one does not hold until it is Set.
//
// Conditions are for what concerns this instance alone: "start", "migration",
// "listener", "disk". What instances share is a Dependency.
func (h *Health) Condition(name string) *Condition {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conditions {
		if c.name == name {
			return c
		}
	}
	c := &Condition{health: h, name: name, reason: "not reported yet", since: time.Now()}
	h.conditions = append(h.conditions, c)
	h.update()
	return c
}

// Set says whether the condition holds, and why (shown by /readyz). An empty
// reason is fine when it holds.
func (c *Condition) Set(ok bool, reason string) {
	h := c.health
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.ok != ok {
		c.since = time.Now()
	}
	c.ok, c.reason = ok, reason
	h.update()
}

// Dependency adds something that instances share, for example a database. Run
// checks it every Config.Interval for at most Config.Timeout; check should
// return when its context ends. A dependency that fails shows as degraded in
// /readyz and changes nothing else. Adding a name again replaces its check.
func (h *Health) Dependency(name string, check func(ctx context.Context) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.dependencies {
		if d.name == name {
			d.check = check
			return
		}
	}
	h.dependencies = append(h.dependencies, &dependency{name: name, check: check, message: "not checked yet", since: time.Now(), added: time.Now()})
	select {
	case h.added <- struct{}{}:
	default:
	}
}
