package consul

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
		requests: shared(reg, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keelson_consul_request_duration_seconds",
			Help: "Requests to the Consul agent by operation and result. The operation wait is a query that waits for a change.",
			// A request that waits takes up to the wait time of the driver, ten minutes at most.
			Buckets: []float64{0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60, 600},
		}, []string{"operation", "result"})),
		contact: shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
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

// shared registers c, or returns the equal collector that is registered already. One that cannot be registered still counts, unseen.
func shared[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if reg == nil {
		return c
	}
	var dup prometheus.AlreadyRegisteredError
	if errors.As(reg.Register(c), &dup) {
		if have, ok := dup.ExistingCollector.(C); ok {
			return have
		}
	}
	return c
}
