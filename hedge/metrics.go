package hedge

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/internal/collectors"
)

// vectors are the metrics of all hedges. They count, unseen, when there is no
// registerer.
type vectors struct {
	hedges *prometheus.CounterVec
	denied *prometheus.CounterVec
	delay  *prometheus.GaugeVec
}

func newVectors(reg prometheus.Registerer) vectors {
	return vectors{
		hedges: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_hedges_total",
			Help: "Second attempts that were sent while the first was under way, by result: won, lost (the first attempt's answer came before) or failed.",
		}, []string{"target", "method", "result"})),
		denied: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_hedges_denied_total",
			Help: "Second attempts that were not sent because the target's budget was used up.",
		}, []string{"target", "method"})),
		delay: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_hedge_delay_seconds",
			Help: "How long a first attempt may take before a call is hedged.",
		}, []string{"target", "method"})),
	}
}

// counters are the metrics of one method at one target.
type counters struct {
	won, lost, failed, denied prometheus.Counter
	delay                     prometheus.Gauge
}

func (v vectors) resolve(target, method string) counters {
	return counters{
		won:    v.hedges.WithLabelValues(target, method, "won"),
		lost:   v.hedges.WithLabelValues(target, method, "lost"),
		failed: v.hedges.WithLabelValues(target, method, "failed"),
		denied: v.denied.WithLabelValues(target, method),
		delay:  v.delay.WithLabelValues(target, method),
	}
}

func (v vectors) forget(target string) {
	labels := prometheus.Labels{"target": target}
	v.hedges.DeletePartialMatch(labels)
	v.denied.DeletePartialMatch(labels)
	v.delay.DeletePartialMatch(labels)
}
