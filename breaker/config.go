package breaker

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The defaults of [Config].
const (
	// DefaultWindow is how far back calls count.
	DefaultWindow = 10 * time.Second
	// DefaultMinCalls is how many calls there must be in the window.
	DefaultMinCalls = 20
	// DefaultMinFailures is how many of them must have failed.
	DefaultMinFailures = 10
	// DefaultFailureRatio is which part of them must have failed.
	DefaultFailureRatio = 0.5
	// DefaultOpenTime is how long a breaker is open at first.
	DefaultOpenTime = time.Second
	// DefaultMaxOpenTime is how long it is open at most.
	DefaultMaxOpenTime = 3 * time.Second
	// DefaultProbes is how many calls a half-open breaker lets through, and how
	// many of them must end well.
	DefaultProbes = 3
	// DefaultProbeWait is how long a probe may take before it makes room for
	// another one.
	DefaultProbeWait = time.Second
)

const (
	// buckets is into how many parts the window is divided: it moves on by one
	// of them at a time.
	buckets = 10
	// openGrowth is by how much the open time grows when a probe fails.
	openGrowth = 2
	// openJitter is which part of the open time is left to chance, downwards, so
	// that clients do not probe in step.
	openJitter = 0.25
)

// Config says when breakers open and for how long. The zero value works.
//
// The sum of MaxOpenTime and ProbeWait bounds how long after its recovery a
// backend may have to wait for its calls: 4 s by default.
type Config struct {
	// Window is how far back calls count. Zero: 10 s.
	Window time.Duration
	// MinCalls is how many calls there must be in the window before a breaker
	// opens. Zero: 20.
	MinCalls int
	// MinFailures is how many of them must have failed. Zero: 10.
	MinFailures int
	// FailureRatio is which part of them must have failed, above 0 and at most 1.
	// Zero: 0.5.
	FailureRatio float64
	// OpenTime is how long a breaker is open at first; each probe that fails
	// doubles it, up to MaxOpenTime. A quarter of it is left to chance, downwards.
	// Zero: 1 s.
	OpenTime time.Duration
	// MaxOpenTime is how long a breaker is open at most. Zero: 3 s, or OpenTime
	// where that is longer.
	MaxOpenTime time.Duration
	// Probes is how many calls a half-open breaker lets through at once, and how
	// many must end well before it closes. Zero: 3.
	Probes int
	// ProbeWait is how long a probe may take before it makes room for another
	// one: one that never ends must not keep a breaker half-open. Its outcome
	// still counts, whenever it comes. Zero: 1 s.
	ProbeWait time.Duration
}

func (c Config) withDefaults() Config {
	set(&c.Window, DefaultWindow)
	set(&c.MinCalls, DefaultMinCalls)
	set(&c.MinFailures, DefaultMinFailures)
	set(&c.FailureRatio, DefaultFailureRatio)
	set(&c.OpenTime, DefaultOpenTime)
	set(&c.MaxOpenTime, max(DefaultMaxOpenTime, c.OpenTime))
	set(&c.Probes, DefaultProbes)
	set(&c.ProbeWait, DefaultProbeWait)
	return c
}

func set[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

// validate reports all faults at once; the defaults are filled in.
func (c Config) validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"window", c.Window}, {"open_time", c.OpenTime}, {"max_open_time", c.MaxOpenTime}, {"probe_wait", c.ProbeWait}} {
		if d.value < time.Millisecond {
			fault("%s is %s; set 1ms or more, or 0 for the default", d.name, d.value)
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"min_calls", c.MinCalls}, {"min_failures", c.MinFailures}, {"probes", c.Probes}} {
		if n.value < 1 || n.value > math.MaxInt32 {
			fault("%s is %d; set 1 or more, or 0 for the default", n.name, n.value)
		}
	}
	if !(c.FailureRatio > 0 && c.FailureRatio <= 1) {
		fault("failure_ratio is %g; set more than 0 and at most 1, or 0 for %g", c.FailureRatio, DefaultFailureRatio)
	}
	if c.MaxOpenTime < c.OpenTime {
		fault("max_open_time is %s, shorter than open_time, which is %s", c.MaxOpenTime, c.OpenTime)
	}
	return errors.Join(faults...)
}

type options struct {
	log        *slog.Logger
	registerer prometheus.Registerer
}

// Option changes what a [Set] tells, and to whom.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithLogger sets where transitions are logged. Nil is off, and the default.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.log = l }) }

// WithRegisterer sets where the metrics are registered. Nil is off, and the
// default. Sets that share a registerer share its metrics.
func WithRegisterer(r prometheus.Registerer) Option {
	return optionFunc(func(o *options) { o.registerer = r })
}
