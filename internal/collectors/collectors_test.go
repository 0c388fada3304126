package collectors_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/internal/collectors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "calls_total", Help: "Calls."}, []string{"method"})
}

func TestShared(t *testing.T) {
	reg := prometheus.NewRegistry()
	first := collectors.Shared(reg, counter())
	if collectors.Shared(reg, counter()) != first {
		t.Error("the second one is not the one that is registered")
	}
	if own := counter(); collectors.Shared(nil, own) != own {
		t.Error("without a registerer the collector is not the given one")
	}
	clash := prometheus.NewGauge(prometheus.GaugeOpts{Name: "calls_total", Help: "Calls."})
	if collectors.Shared[prometheus.Gauge](reg, clash) != clash {
		t.Error("a collector whose name is taken is not the given one")
	}
}
