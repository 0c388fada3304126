package hedge

import (
	"sync/atomic"
	"time"

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

// counters are the metrics of one method at one target. The series are looked up
// each time, which is seldom: another hedger of the same registerer may have
// forgotten the target meanwhile.
type counters struct {
	vectors
	target, method string
	forgotten      atomic.Bool // by this one: the metrics are gone
}

// The results of a hedge, values of the label result.
const (
	hedgeWon    = "won"
	hedgeLost   = "lost"
	hedgeFailed = "failed"
)

// show makes the series, so that all of them are there before anything happens.
func (c *counters) show() {
	for _, result := range []string{hedgeWon, hedgeLost, hedgeFailed} {
		c.hedges.WithLabelValues(c.target, c.method, result)
	}
	c.denied.WithLabelValues(c.target, c.method)
	c.delay.WithLabelValues(c.target, c.method)
}

func (c *counters) end(result string) {
	if !c.forgotten.Load() {
		c.hedges.WithLabelValues(c.target, c.method, result).Inc()
	}
}

func (c *counters) deny() {
	if !c.forgotten.Load() {
		c.denied.WithLabelValues(c.target, c.method).Inc()
	}
}

func (c *counters) waits(d time.Duration) {
	if !c.forgotten.Load() {
		c.delay.WithLabelValues(c.target, c.method).Set(d.Seconds())
	}
}

func (v vectors) forget(target string) {
	labels := prometheus.Labels{"target": target}
	v.hedges.DeletePartialMatch(labels)
	v.denied.DeletePartialMatch(labels)
	v.delay.DeletePartialMatch(labels)
}
