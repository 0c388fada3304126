package internal

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// instruments are the gateway's own metrics, listed in docs/gateway.md. Their
// names are API. What calls do is counted by the chassis, for each method.
type instruments struct {
	known   *prometheus.GaugeVec
	asked   *prometheus.CounterVec
	limited *prometheus.CounterVec
}

func newInstruments(r prometheus.Registerer) (*instruments, error) {
	m := &instruments{
		known:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "keelson_gateway_service_known", Help: "1 while the methods of an allowed service are known, otherwise 0."}, []string{"service"}),
		asked:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keelson_gateway_reflections_total", Help: "Questions by gRPC reflection, by target and result (ok, failed)."}, []string{"target", "result"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "keelson_gateway_limited_total", Help: "Calls that were refused because their client made too many, by what the client is known by (key, address)."}, []string{"by"}),
	}
	if r == nil {
		return m, nil
	}
	var faults []error
	for _, c := range []prometheus.Collector{m.known, m.asked, m.limited} {
		faults = append(faults, r.Register(c))
	}
	return m, errors.Join(faults...)
}
