package metrics

import (
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// RegisterProcess registers the metrics of the Go runtime, of the process, and
// keelson_build_info with the service, its version and the revision that the
// binary was built from. A nil r is off.
func RegisterProcess(r prometheus.Registerer, service, version string) error {
	if r == nil {
		return nil
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keelson_build_info",
		Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{
			"service": service, "version": version, "revision": revision(), "goversion": runtime.Version(),
		},
	})
	build.Set(1)
	err := errors.Join(
		r.Register(collectors.NewGoCollector()),
		r.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		r.Register(build),
	)
	if err != nil {
		return fmt.Errorf("register the metrics of the process: %w", err)
	}
	return nil
}

// revision is the commit that the binary was built from, or unknown.
func revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}

// Handler serves /metrics: the text format, OpenMetrics with exemplars, or
// protobuf with native histograms, as the scraper asks. Scrapers that come
// while one gathers share its answer, at most 8 wait, each for 10 s at most, so
// that a stuck one costs nothing.
func Handler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 8,
		CoalesceGather:      true,
		Timeout:             10 * time.Second,
	})
}
