package redis

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/internal/collectors"
)

// instruments are the limiter's metrics, listed in docs/metrics.md. Their names
// are API.
type instruments struct {
	away                  prometheus.Gauge
	duration              prometheus.Histogram
	shared, local, failed prometheus.Counter
}

func newInstruments(r prometheus.Registerer) *instruments {
	decided := collectors.Shared(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keelson_ratelimit_redis_decisions_total", Help: "Calls that were counted, by where: shared (in Redis) or local (by this instance's share, while Redis is away).",
	}, []string{"by"}))
	return &instruments{
		away: collectors.Shared[prometheus.Gauge](r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keelson_ratelimit_redis_away", Help: "1 while Redis is away and each instance admits its share of the rate limits, otherwise 0.",
		})),
		duration: collectors.Shared[prometheus.Histogram](r, prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "keelson_ratelimit_redis_duration_seconds", Help: "Time that questions to Redis took.", Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1},
		})),
		failed: collectors.Shared[prometheus.Counter](r, prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keelson_ratelimit_redis_failures_total", Help: "Questions of calls that Redis did not answer in time or not at all.",
		})),
		shared: decided.WithLabelValues("shared"),
		local:  decided.WithLabelValues("local"),
	}
}
