package internal

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// instruments are the service's own metrics, listed in docs/audit-service.md.
// Their names are API.
type instruments struct {
	leading    prometheus.Gauge
	lag        prometheus.GaugeFunc
	changes    *prometheus.CounterVec
	repeats    prometheus.Counter
	watches    *prometheus.CounterVec
	consumers  prometheus.Gauge
	ended      *prometheus.CounterVec
	nameless   prometheus.Counter
	completeAt atomic.Int64 // Unix nanoseconds up to which the history is complete; 0: somebody else records
}

func newInstruments(r prometheus.Registerer) (*instruments, error) {
	m := &instruments{
		leading:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "keelson_audit_recorder_leading", Help: "1 while this instance continues the history, otherwise 0."}),
		changes:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keelson_audit_changes_total", Help: "Changes appended to the history by this instance, by kind."}, []string{"kind"}),
		repeats:   prometheus.NewCounter(prometheus.CounterOpts{Name: "keelson_audit_repeated_changes_total", Help: "Changes that the user service told again and that were not appended again."}),
		watches:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keelson_audit_watches_ended_total", Help: "Ends of the watch of users, by reason."}, []string{"reason"}),
		consumers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "keelson_audit_followers", Help: "Open Follow streams."}),
		ended:     prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keelson_audit_follows_ended_total", Help: "Ends of Follow streams, by reason."}, []string{"reason"}),
		nameless:  prometheus.NewCounter(prometheus.CounterOpts{Name: "keelson_audit_lists_without_names_total", Help: "Lists that were answered without names to show, because the user service did not answer in time."}),
	}
	m.lag = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "keelson_audit_recorder_lag_seconds", Help: "How far the history is behind the users, while this instance continues it, or would if its store took it; otherwise 0.",
	}, m.behind)
	if r == nil {
		return m, nil
	}
	var faults []error
	for _, c := range []prometheus.Collector{m.leading, m.lag, m.changes, m.repeats, m.watches, m.consumers, m.ended, m.nameless} {
		faults = append(faults, r.Register(c))
	}
	return m, errors.Join(faults...)
}

// lead notes whether this instance continues the history. How far that is behind
// goes on to count when the store fails, and is forgotten by yield.
func (m *instruments) lead(leading bool) {
	if !leading {
		m.leading.Set(0)
		return
	}
	m.leading.Set(1)
	m.completeAt.CompareAndSwap(0, time.Now().UnixNano())
}

// yield notes that another instance continues the history.
func (m *instruments) yield() { m.completeAt.Store(0) }

// complete notes up to when the history is complete.
func (m *instruments) complete(at time.Time) { m.completeAt.Store(at.UnixNano()) }

func (m *instruments) behind() float64 {
	at := m.completeAt.Load()
	if at == 0 {
		return 0
	}
	return max(0, time.Since(time.Unix(0, at)).Seconds())
}

func (m *instruments) appended(changes []repository.Change) {
	for i := range changes {
		m.changes.WithLabelValues(changes[i].Kind.String()).Inc()
	}
}

// reasonOf names why something ended, for a label: a reason that a service gave,
// or the code.
func reasonOf(err error) string {
	if e := errs.Classify(err, Errors()); e != nil && errs.ValidReason(e.Reason()) {
		return e.Reason()
	}
	return errs.CodeName(errs.Code(err))
}
