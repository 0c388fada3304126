package consul

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

type options struct {
	log *slog.Logger
	reg prometheus.Registerer
}

// Option changes how a driver behaves.
type Option interface{ apply(*options) }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithLogger sets where stale and filtered answers are logged; without it, or with nil, nothing is. What becomes of an answer is logged by
// the resolver.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(o *options) { o.log = l }) }

// WithRegisterer sets where the metrics are registered; without it, or with nil, there are none. Several drivers may share one.
func WithRegisterer(r prometheus.Registerer) Option {
	return optionFunc(func(o *options) { o.reg = r })
}

func newOptions(opts []Option) options {
	var o options
	for _, opt := range opts {
		opt.apply(&o)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	return o
}
