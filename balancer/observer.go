package balancer

import (
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/internal/collectors"
	"github.com/keelson-dev/keelson/target"
)

// AttemptFunc hears of each attempt of a call when its instance has been chosen: the call's record, the number of the attempt from 1, and
// the instance's address. It runs on the path of every call and must not block.
type AttemptFunc func(c *call.Call, n int, address string)

// Option is an option of [Observe].
type Option interface{ apply(*settings) }

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

// WithLogger sets where it is logged that instances go out and come back; without it, or with nil, nothing is.
func WithLogger(l *slog.Logger) Option { return optionFunc(func(s *settings) { s.log = l }) }

// WithRegisterer sets where the metrics are registered; without it, or with nil, there are none. Clients that share a registerer share the
// metrics.
func WithRegisterer(r prometheus.Registerer) Option {
	return optionFunc(func(s *settings) { s.reg = r })
}

// WithAttempts sets who hears of attempts, for example to record them on the call's span.
func WithAttempts(f AttemptFunc) Option { return optionFunc(func(s *settings) { s.attempt = f }) }

// Observe returns the option of a client's [target.Registry] by which the policy, which gRPC holds once for the process, finds the
// client's logger and metrics.
func Observe(opts ...Option) target.Option {
	s := &settings{}
	for _, o := range opts {
		o.apply(s)
	}
	s.metrics = newMetrics(s.reg)
	s.open = make(map[string]int)
	return target.WithValue(settingsKey{}, s)
}

type settingsKey struct{}

type settings struct {
	log     *slog.Logger
	reg     prometheus.Registerer
	attempt AttemptFunc
	metrics metrics

	mu    sync.Mutex
	open  map[string]int // connections, by target
	ended []string       // targets without any, the latest at the end
}

// rememberMost is how many targets without a connection keep their counters: a client may dial ever new ones.
const rememberMost = 100

// begin accounts for a connection to a target, end for its end.
func (s *settings) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[name]++
	s.ended = slices.DeleteFunc(s.ended, func(n string) bool { return n == name })
}

func (s *settings) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[name]--; s.open[name] > 0 {
		return
	}
	delete(s.open, name)
	s.ended = append(s.ended, name)
	if len(s.ended) > rememberMost {
		s.metrics.forget(s.ended[0])
		s.ended = s.ended[1:]
	}
}

type metrics struct {
	picks, leaving, rebuilds     *prometheus.CounterVec
	discarded, ejections, probes *prometheus.CounterVec
	ejected, panicking           *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"target"}, labels...)))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"target"}))
	}
	return metrics{
		picks:     counter("keelson_balancer_picks_total", "Instances chosen for attempts of calls."),
		leaving:   counter("keelson_balancer_leaving_picks_total", "Instances chosen that drain, because no other was ready."),
		discarded: counter("keelson_balancer_discarded_picks_total", "Picks that were given back and made again, by reason: factor, method, tried, breaker or connection.", "reason"),
		rebuilds:  counter("keelson_balancer_picker_rebuilds_total", "Pickers handed to gRPC."),
		ejections: counter("keelson_balancer_ejections_total", "Instances taken out, by reason: failures or hang.", "reason"),
		probes:    counter("keelson_balancer_probes_total", "Health checks of suspected or ejected instances, by result: good, unhealthy, unanswered or disconnected.", "result"),
		ejected:   gauge("keelson_balancer_ejected_instances", "Instances that are out now."),
		panicking: gauge("keelson_balancer_panic", "Connections that use all instances because more than half are out; 0 is well."),
	}
}

func (m metrics) forget(name string) {
	labels := prometheus.Labels{"target": name}
	for _, c := range []*prometheus.CounterVec{m.picks, m.leaving, m.rebuilds, m.discarded, m.ejections, m.probes} {
		c.DeletePartialMatch(labels)
	}
	m.ejected.DeletePartialMatch(labels)
	m.panicking.DeletePartialMatch(labels)
}

// observer is what one connection tells, with the counters of its target resolved once.
type observer struct {
	name      string
	set       *settings
	log       *slog.Logger
	attempt   AttemptFunc
	picks     prometheus.Counter
	leaving   prometheus.Counter
	rebuilds  prometheus.Counter
	discarded [verdicts]prometheus.Counter
	ejections map[reason]prometheus.Counter
	probes    [probeResults]prometheus.Counter
	ejected   *level
	panicking *level
}

func newObserver(s *settings, name string) *observer {
	if s == nil {
		s = &settings{metrics: newMetrics(nil), open: make(map[string]int)}
	}
	s.begin(name)
	o := &observer{name: name, set: s, log: s.log, attempt: s.attempt, ejections: make(map[reason]prometheus.Counter)}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	o.log = o.log.With(slog.String("target", name))
	m := s.metrics
	o.picks, o.leaving, o.rebuilds = m.picks.WithLabelValues(name), m.leaving.WithLabelValues(name), m.rebuilds.WithLabelValues(name)
	for v := thinned; v < verdicts; v++ {
		o.discarded[v] = m.discarded.WithLabelValues(name, v.String())
	}
	for _, r := range []reason{reasonFailures, reasonHang} {
		o.ejections[r] = m.ejections.WithLabelValues(name, string(r))
	}
	for r := range probeResults {
		o.probes[r] = m.probes.WithLabelValues(name, r.String())
	}
	o.ejected, o.panicking = &level{gauge: m.ejected.WithLabelValues(name)}, &level{gauge: m.panicking.WithLabelValues(name)}
	return o
}

// close takes back what the gauges, which connections to one target share, hold of this one.
func (o *observer) close() {
	o.ejected.close()
	o.panicking.close()
	o.set.end(o.name)
}

// level is one connection's part of a gauge.
type level struct {
	gauge  prometheus.Gauge
	mu     sync.Mutex
	now    int
	closed bool
}

func (l *level) set(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n != l.now && !l.closed {
		l.gauge.Add(float64(n - l.now))
		l.now = n
	}
}

func (l *level) close() {
	l.set(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
}
