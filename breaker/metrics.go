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

// show makes the series of a breaker, so that all of them are there before
// anything happens.
func (v vectors) show(k key) {
	v.state.WithLabelValues(k.target, k.method) // closed, unless another set has it otherwise
	v.rejections.WithLabelValues(k.target, k.method)
	for s := Closed; s <= Open; s++ {
		v.transitions.WithLabelValues(k.target, k.method, s.String())
	}
}

// enter and reject look the series up each time, which is seldom: another set of
// the same registerer may have forgotten the target meanwhile.
func (v vectors) enter(k key, s State) {
	v.state.WithLabelValues(k.target, k.method).Set(float64(s))
	v.transitions.WithLabelValues(k.target, k.method, s.String()).Inc()
}

func (v vectors) reject(k key) { v.rejections.WithLabelValues(k.target, k.method).Inc() }

func (v vectors) forget(target string) {
	labels := prometheus.Labels{"target": target}
	v.state.DeletePartialMatch(labels)
	v.transitions.DeletePartialMatch(labels)
	v.rejections.DeletePartialMatch(labels)
}
