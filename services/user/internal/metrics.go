package internal

import (
	"github.com/prometheus/client_golang/prometheus"
)

// instruments are the service's own metrics. Their names are API.
type instruments struct {
	watchers prometheus.Gauge
	ended    *prometheus.CounterVec
	items    *prometheus.CounterVec
	batches  prometheus.Counter

	created, replayed, failed prometheus.Counter // of items
}

// WithMetrics registers the service's metrics; nil is off. Names:
//
//	user_watchers                       open WatchUsers streams
//	user_watches_ended_total{reason}    streams that ended themselves: SLOW_CONSUMER, WATCH_EXPIRED, DRAINING, REVISION_COMPACTED
//	user_import_items_total{outcome}    items of ImportUsers: created, replayed, failed
//	user_import_batches_total           transactions of ImportUsers
func WithMetrics(r prometheus.Registerer) Option {
	return optionFunc(func(h *Handler) { h.registerer = r })
}

func newInstruments(r prometheus.Registerer) (*instruments, error) {
	m := &instruments{
		watchers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "user_watchers", Help: "Open WatchUsers streams."}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "user_watches_ended_total", Help: "WatchUsers streams that ended themselves, by reason.",
		}, []string{"reason"}),
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "user_import_items_total", Help: "Items of ImportUsers by outcome: created, replayed, failed.",
		}, []string{"outcome"}),
		batches: prometheus.NewCounter(prometheus.CounterOpts{Name: "user_import_batches_total", Help: "Transactions of ImportUsers."}),
	}
	m.created, m.replayed, m.failed = m.items.WithLabelValues("created"), m.items.WithLabelValues("replayed"), m.items.WithLabelValues("failed")
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.watchers, m.ended, m.items, m.batches} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// watchEnded counts a stream that ended with a reason of ours.
func (m *instruments) watchEnded(reason string) {
	switch reason {
	case ReasonSlowConsumer, ReasonWatchExpired, ReasonRevisionCompacted, reasonDraining:
		m.ended.WithLabelValues(reason).Inc()
	}
}
