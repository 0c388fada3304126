package discovery

import (
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/target"
)

// Defaults of [Config] and [RegistrationConfig].
const (
	// DefaultHold is how long an instance that vanished together with half of the list is kept at least.
	DefaultHold = 10 * time.Second
	// DefaultRemovalDelay is how long an instance stays that the registry no longer names, while its connections are well.
	DefaultRemovalDelay = 2 * time.Second
	// DefaultUpdateInterval is the mean time between two lists of a registry that never rests.
	DefaultUpdateInterval = time.Second
	// DefaultCacheWait is how long a registry may take to answer before the list on disk is used.
	DefaultCacheWait = 500 * time.Millisecond
	// DefaultRefresh is how often DNS and the like are asked again.
	DefaultRefresh = 30 * time.Second
	// DefaultCheckInterval is how often a registered instance looks whether it is still registered.
	DefaultCheckInterval = 3 * time.Second
	// DefaultAttemptTimeout bounds one attempt to register or to check.
	DefaultAttemptTimeout = 5 * time.Second
	// DefaultDeregisterTimeout bounds the deregistration as a whole.
	DefaultDeregisterTimeout = 2 * time.Second
	// DefaultMinBackoff is the pause before the first repetition of what failed.
	DefaultMinBackoff = 100 * time.Millisecond
	// DefaultMaxBackoff is the longest pause between two attempts.
	DefaultMaxBackoff = 3 * time.Second
)

// Config is what can be set about a resolver. The zero value works.
type Config struct {
	// Hold is how long an instance is kept at least that vanished from the registry together with half of the list or more; after that
	// it is kept for as long as its own connections are up. Default DefaultHold; negative means no time at all.
	Hold time.Duration
	// RemovalDelay is how long an instance stays that the registry no longer names, and whose own connections are well: one that is back
	// within that time has never been away. Default DefaultRemovalDelay; negative means no time at all. An instance that asks for no calls,
	// as one that drains does, or that no connection is up to, goes at once.
	RemovalDelay time.Duration
	// UpdateInterval is the mean time between two lists that a connection is given, after a burst of a few at once, so that balancers are
	// not rebuilt at the pace of a registry that never rests. Lists with instances that the one before had not wait for a fifth of it.
	// Default DefaultUpdateInterval; negative means no bound.
	UpdateInterval time.Duration
	// Subset makes clients of a large fleet connect to a part of it. Default: to all of it.
	Subset Subset
	// CacheDir is a directory for a copy of the last good list of each target of a driver, so that a process can start while its registry
	// is away; it is created with mode 0700, and a file or directory that others own or may write to is not used. A copy is written after
	// changes, at most once a second. Default: no copies.
	CacheDir string
	// CacheWait is how long the registry may take to answer the first time before the copy is used; when it fails before, that is at
	// once. Default DefaultCacheWait; negative means no time at all.
	CacheWait time.Duration
	// Refresh is how often a wrapped gRPC resolver (DNS) is asked to resolve again, jittered by a tenth; gRPC's own resolver asks again
	// only when a connection breaks and so never sees that instances were added. Default DefaultRefresh; negative means never.
	Refresh time.Duration
	// MinBackoff is the pause before the first repetition after an error. Default DefaultMinBackoff.
	MinBackoff time.Duration
	// MaxBackoff is the longest pause between two attempts; each pause is jittered. Default DefaultMaxBackoff.
	MaxBackoff time.Duration
}

func (c Config) withDefaults() Config {
	c.Hold = defaultDuration(c.Hold, DefaultHold)
	c.RemovalDelay = defaultDuration(c.RemovalDelay, DefaultRemovalDelay)
	c.UpdateInterval = defaultDuration(c.UpdateInterval, DefaultUpdateInterval)
	c.CacheWait = defaultDuration(c.CacheWait, DefaultCacheWait)
	c.Subset = c.Subset.withDefaults()
	c.Refresh = defaultDuration(c.Refresh, DefaultRefresh)
	c.MinBackoff = positive(c.MinBackoff, DefaultMinBackoff)
	c.MaxBackoff = positive(c.MaxBackoff, DefaultMaxBackoff)
	return c
}

func defaultDuration(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

func positive(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// Confirm tells whether a client's own connections confirm that an instance is gone, or at least not usable. It is asked about instances
// that a registry no longer names; target is the dial target. It must not block.
type Confirm func(target string, in target.Instance) bool

// StateFunc hears of each change of a registration's state; err says why it is not StateRegistered, and is nil otherwise. It is called
// from the registration's goroutine and must not block.
type StateFunc func(s State, err error)

type options struct {
	log     *slog.Logger
	reg     prometheus.Registerer
	targets *target.Registry
	confirm Confirm
	onState StateFunc
}

// Option changes how a resolver or a registration behaves. Options that do not concern the one at hand are ignored.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithLogger sets where decisions are logged; without it, or with nil, nothing is.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.log = l }) }

// WithRegisterer sets where the metrics are registered; without it, or with nil, there are none. Several resolvers and registrations may
// share one registerer and then share the metrics.
func WithRegisterer(r prometheus.Registerer) Option {
	return optionFunc(func(o *options) { o.reg = r })
}

// WithTargets sets the live state that a resolver reports to and takes confirmations from; a client gives all its resolvers the same.
// Without it a resolver has one of its own.
func WithTargets(r *target.Registry) Option { return optionFunc(func(o *options) { o.targets = r }) }

// WithConfirm replaces how an instance's disappearance is confirmed. The default looks at the live state: gone is what has no usable
// connection, or no connection that anybody tracks.
func WithConfirm(c Confirm) Option { return optionFunc(func(o *options) { o.confirm = c }) }

// WithOnState sets who hears of a registration's changes of state.
func WithOnState(f StateFunc) Option { return optionFunc(func(o *options) { o.onState = f }) }

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt.apply(&o)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	if o.targets == nil {
		o.targets = target.NewRegistry()
	}
	return o
}
