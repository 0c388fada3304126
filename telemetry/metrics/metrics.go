// Package metrics counts and times calls, with the names that dashboards of
// gRPC services already use (those of go-grpc-middleware's provider), and
// serves them to Prometheus.
//
// Labels come from a policy.Table only, never from what a client sends: calls
// to methods that no table holds are counted under one method, unknown. The
// counters of a method are looked up once ([Metrics.For]) and kept, so that
// counting a call makes no label map and takes no lock.
package metrics

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// DefaultBuckets are the upper bounds of the classic histograms, in seconds:
// 1 ms to 2 minutes, because a last bucket of 10 s hides what a deadline does.
// Each method has as many series, so they are few; the native histograms that
// are kept beside them are finer.
func DefaultBuckets() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}
}

// The parameters of the native histograms: buckets at most 10 % wide, and at
// most 100 of them per method.
const (
	nativeFactor  = 1.1
	nativeBuckets = 100
	nativeReset   = time.Hour
)

// Config shapes the metrics of one side. The zero value works.
type Config struct {
	// Side is the end at which calls are counted: grpc_server_* or
	// grpc_client_*.
	Side call.Side
	// Buckets are the upper bounds of the classic histogram, in seconds and
	// ascending. Nil: [DefaultBuckets]; empty but not nil: none, only native.
	Buckets []float64
}

// Metrics counts the calls of one side. It is safe for concurrent use, and nil
// counts nothing.
type Metrics struct {
	side                             call.Side
	started, handled, received, sent *prometheus.CounterVec
	attempts                         *prometheus.CounterVec // a client's only
	seconds                          *prometheus.HistogramVec
	inFlight, streams                *prometheus.GaugeVec
	methods                          sync.Map // *policy.Method -> *Method
}

// New returns metrics registered with r, or nil when r is nil. The error is
// that of registering: both the names of one side and its labels are taken when
// the same registry is given twice.
func New(r prometheus.Registerer, cfg Config) (*Metrics, error) {
	if r == nil {
		return nil, nil //nolint:nilnil // nil metrics are off, and usable
	}
	m := newVectors(cfg)
	var faults []error
	for _, c := range m.collectors() {
		if err := r.Register(c); err != nil {
			faults = append(faults, err)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("register the metrics of the %s's calls: %w", cfg.Side, err)
	}
	return m, nil
}

func newVectors(cfg Config) *Metrics {
	labels := []string{"grpc_type", "grpc_service", "grpc_method"}
	side := cfg.Side.String()
	counter := func(name, help string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "grpc_" + side + "_" + name, Help: help}, append(labels[:3:3], more...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "grpc_" + side + "_" + name, Help: help}, labels)
	}
	buckets := cfg.Buckets
	if buckets == nil {
		buckets = DefaultBuckets()
	}
	m := &Metrics{
		side:     cfg.Side,
		started:  counter("started_total", "Calls begun at the "+side+"."),
		handled:  counter("handled_total", "Calls ended at the "+side+", by code.", "grpc_code"),
		received: counter("msg_received_total", "Messages received by the "+side+"."),
		sent:     counter("msg_sent_total", "Messages sent by the "+side+"."),
		inFlight: gauge("in_flight_calls", "Unary calls that the "+side+" has begun and not ended."),
		streams:  gauge("open_streams", "Streams that the "+side+" has begun and not ended."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_" + side + "_handling_seconds", Help: "How long calls took at the " + side + ", streams included.",
			Buckets: buckets, NativeHistogramBucketFactor: nativeFactor,
			NativeHistogramMaxBucketNumber: nativeBuckets, NativeHistogramMinResetDuration: nativeReset,
		}, labels),
	}
	if cfg.Side == call.Client {
		m.attempts = counter("attempts_total", "Times that calls were sent: one per call, and one per retry or hedge.")
	}
	return m
}

func (m *Metrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.started, m.handled, m.received, m.sent, m.inFlight, m.streams, m.seconds}
	if m.attempts != nil {
		all = append(all, m.attempts)
	}
	return all
}

// For returns the counters of a method of a table, made when first asked for.
// Keep it where the method is known beforehand.
func (m *Metrics) For(method *policy.Method) *Method {
	if m == nil {
		return nil
	}
	if known, ok := m.methods.Load(method); ok {
		return known.(*Method) //nolint:errcheck,forcetypeassert // the map holds nothing else
	}
	known, _ := m.methods.LoadOrStore(method, m.resolve(method))
	return known.(*Method) //nolint:errcheck,forcetypeassert // the map holds nothing else
}

// Forget drops the series of a service's methods, for targets that go away (a
// gateway's) after policy.Table.Remove. Counting goes on for calls that hold
// them still, but nobody sees it.
func (m *Metrics) Forget(service string) {
	if m == nil {
		return
	}
	m.methods.Range(func(key, _ any) bool {
		if method, ok := key.(*policy.Method); ok && method.Service == service {
			m.methods.Delete(method)
		}
		return true
	})
	labels := prometheus.Labels{"grpc_service": service}
	for _, c := range m.collectors() {
		if v, ok := c.(interface {
			DeletePartialMatch(prometheus.Labels) int
		}); ok {
			v.DeletePartialMatch(labels)
		}
	}
}

// Begin counts the begin of a call, like [Method.Begin] for one whose counters
// are looked up now.
func (m *Metrics) Begin(c *call.Call) { m.For(c.Method).Begin(c) }

// End counts the end of a call, like [Method.End].
func (m *Metrics) End(c *call.Call) { m.For(c.Method).End(c) }
