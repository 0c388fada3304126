package breaker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/internal/collectors"
)

// vectors are the metrics of all breakers. They count, unseen, when there is no
// registerer.
type vectors struct {
	state       *prometheus.GaugeVec
	transitions *prometheus.CounterVec
	rejections  *prometheus.CounterVec
}

func newVectors(reg prometheus.Registerer) vectors {
	return vectors{
		state: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_breaker_state",
			Help: "The state of a client's breaker: 0 closed, 1 half-open, 2 open.",
		}, []string{"target", "method"})),
		transitions: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_breaker_transitions_total",
			Help: "Changes of a breaker's state, by the state that it came into: closed, half_open or open.",
		}, []string{"target", "method", "to"})),
		rejections: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_breaker_rejections_total",
			Help: "Calls that a breaker did not let through.",
		}, []string{"target", "method"})),
	}
}

// counters are the metrics of one breaker.
type counters struct {
	state       prometheus.Gauge
	transitions [Open + 1]prometheus.Counter
	rejections  prometheus.Counter
}

func (v vectors) resolve(k key) counters {
	c := counters{state: v.state.WithLabelValues(k.target, k.method), rejections: v.rejections.WithLabelValues(k.target, k.method)}
	for s := range c.transitions {
		c.transitions[s] = v.transitions.WithLabelValues(k.target, k.method, State(s).String())
	}
	c.state.Set(float64(Closed))
	return c
}

func (c *counters) enter(s State) {
	c.state.Set(float64(s))
	c.transitions[s].Inc()
}

func (v vectors) forget(target string) {
	labels := prometheus.Labels{"target": target}
	v.state.DeletePartialMatch(labels)
	v.transitions.DeletePartialMatch(labels)
	v.rejections.DeletePartialMatch(labels)
}
