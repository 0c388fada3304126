package balancer_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWhatHappensIsLoggedAndCounted(t *testing.T) {
	var log lines
	reg := prometheus.NewRegistry()
	observe := balancer.Observe(balancer.WithLogger(slog.New(slog.NewTextHandler(&log, nil))), balancer.WithRegisterer(reg))
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		load := balancertest.Load{Rate: 100, Duration: 5 * time.Second}
		for k := range 2 {
			f.Instance(k).Behave(balancertest.Behaviour{FailureRate: 1, Failure: status.Error(codes.Internal, "x")})
		}
		load.Run(t.Context(), conn)
		want := strings.NewReader(`
# HELP keelson_balancer_ejected_instances Instances that are out now.
# TYPE keelson_balancer_ejected_instances gauge
keelson_balancer_ejected_instances{target="fleet:///test"} 2
# HELP keelson_balancer_panic Connections that use all instances because more than half are out; 0 is well.
# TYPE keelson_balancer_panic gauge
keelson_balancer_panic{target="fleet:///test"} 1
`)
		// Between two openings an instance is half-open for a moment, so look until both are out.
		for range 100 {
			if gauge(t, reg, "keelson_balancer_ejected_instances") == 2 && gauge(t, reg, "keelson_balancer_panic") == 1 {
				break
			}
			pass(50 * time.Millisecond)
		}
		if err := testutil.GatherAndCompare(reg, want, "keelson_balancer_ejected_instances", "keelson_balancer_panic"); err != nil {
			t.Error(err)
		}
		for k := range 2 {
			f.Instance(k).Behave(balancertest.Behaviour{})
		}
		load.Duration = 30 * time.Second
		load.Run(t.Context(), conn)
	}, observe)
	for name, least := range map[string]float64{
		"keelson_balancer_picks_total": 3500, "keelson_balancer_discarded_picks_total": 10, "keelson_balancer_picker_rebuilds_total": 4,
		"keelson_balancer_ejections_total": 2, "keelson_balancer_probes_total": 2,
	} {
		if got := gauge(t, reg, name); got < least {
			t.Errorf("%s is %v, want %v at least", name, got, least)
		}
	}
	for _, name := range []string{"keelson_balancer_ejected_instances", "keelson_balancer_panic"} {
		if got := gauge(t, reg, name); got != 0 {
			t.Errorf("%s is %v after the connection was closed", name, got)
		}
	}
	for _, want := range []string{"an instance is out", "reason=failures", "target=fleet:///test", "too many instances are out", "an instance answers again",
		"an instance is back", "enough instances are well"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
}

// gauge returns the sum of a metric.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, m := range all {
		if m.GetName() != name {
			continue
		}
		for _, v := range m.GetMetric() {
			sum += v.GetGauge().GetValue() + v.GetCounter().GetValue()
		}
	}
	return sum
}
