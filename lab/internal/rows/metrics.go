package rows

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// told tells whether a result repeats a metric of the lab's client.
func told(name string) bool {
	for _, prefix := range []string{"keelson_balancer_", "keelson_hedges_", "keelson_breaker_transitions", "keelson_breaker_rejections", "keelson_resolver_decisions"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// counters reads the counters of the lab's client, by name and the values of
// their labels but the target's.
func counters(registry *prometheus.Registry) map[string]float64 {
	found := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		return found
	}
	for _, f := range families {
		if !told(f.GetName()) || f.GetType() != dto.MetricType_COUNTER {
			continue
		}
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				if l.GetName() != "target" && l.GetName() != "method" {
					name += " " + l.GetValue()
				}
			}
			if v := m.GetCounter().GetValue(); v > 0 {
				found[name] += v
			}
		}
	}
	return found
}

// sum adds up all counters of a name.
func sum(counters map[string]float64, name string) float64 {
	total := 0.0
	for n, v := range counters {
		if n == name || strings.HasPrefix(n, name+" ") {
			total += v
		}
	}
	return total
}
