package consul

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/internal/collectors"
)

// Operations, values of the metric label "operation".
const (
	opRegister   = "register"
	opDeregister = "deregister"
	opCheck      = "check"
	opList       = "list"
	opWait       = "wait"
)

type metrics struct {
	requests *prometheus.HistogramVec
	contact  *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) metrics {
	return metrics{
		requests: collectors.Shared(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keelson_consul_request_duration_seconds",
			Help: "Requests to the Consul agent by operation and result. The operation wait is a query that waits for a change.",
			// A request that waits takes up to the wait time of the driver, ten minutes at most.
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60, 600},
		}, []string{"operation", "result"})),
		contact: collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "keelson_consul_last_contact_seconds",
			Help: "How long ago the server that answered last had heard from its leader; +Inf when it knows of none, 0 also when it does not say.",
		}, []string{"service"})),
	}
}

// observe counts a request; one that its caller gave up is none.
func (m metrics) observe(op string, start time.Time, err error) {
	result := "ok"
	if err != nil {
		result = string(kindOf(err))
	}
	if result != string(kindCanceled) {
		m.requests.WithLabelValues(op, result).Observe(time.Since(start).Seconds())
	}
}
