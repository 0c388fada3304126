package balancer_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
)

func TestSickInstanceKeepsASmallShare(t *testing.T) {
	well := balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 60 * time.Millisecond}
	for name, tc := range map[string]struct {
		n    int
		rate float64
		sick balancertest.Behaviour
	}{
		"slower by 200 ms":                    {3, 100, balancertest.Behaviour{Latency: 205 * time.Millisecond, SlowLatency: 260 * time.Millisecond}},
		"slower by 200 ms, two":               {2, 100, balancertest.Behaviour{Latency: 205 * time.Millisecond, SlowLatency: 260 * time.Millisecond}},
		"slower by 200 ms, few calls":         {3, 20, balancertest.Behaviour{Latency: 205 * time.Millisecond, SlowLatency: 260 * time.Millisecond}},
		"slower by 200 ms, many calls":        {3, 2000, balancertest.Behaviour{Latency: 205 * time.Millisecond, SlowLatency: 260 * time.Millisecond}},
		"failing one call in ten":             {3, 200, balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 60 * time.Millisecond, FailureRate: 0.1, Failure: status.Error(codes.Internal, "x")}},
		"failing one call in ten, two":        {2, 200, balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 60 * time.Millisecond, FailureRate: 0.1, Failure: status.Error(codes.Internal, "x")}},
		"failing one call in ten, many calls": {5, 1000, balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 60 * time.Millisecond, FailureRate: 0.1, Failure: status.Error(codes.Internal, "x")}},
		"failing one call in ten, few calls":  {3, 50, balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 60 * time.Millisecond, FailureRate: 0.1, Failure: status.Error(codes.Internal, "x")}},
	} {
		for _, policy := range []string{balancer.LeastRequest, balancer.RoundRobin} {
			t.Run(name+"/"+policy, func(t *testing.T) {
				bubble(t, tc.n, func(t *testing.T, f *balancertest.Fleet) {
					for k := range tc.n {
						f.Instance(k).Behave(well)
					}
					conn := f.Dial(balancer.Config{Policy: policy})
					load := func(d time.Duration) float64 {
						return f.Shares(func() { (balancertest.Load{Rate: tc.rate, Duration: d, Slow: 0.2}).Run(t.Context(), conn) })[0] * float64(tc.n)
					}
					before := load(10 * time.Second)
					f.Instance(0).Behave(tc.sick)
					var got []float64
					for range 10 {
						got = append(got, load(time.Second))
					}
					late := load(20 * time.Second)
					f.Instance(0).Behave(well)
					var after []float64
					for range 15 {
						after = append(after, load(2*time.Second))
					}
					t.Logf("before %.2f, during %.2f, late %.3f, after %.2f", before, got, late, after)
				})
			})
		}
	}
}
