package balancer_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
	"github.com/keelson-dev/keelson/target"
)

func TestMethodThatFailsAtOneInstanceIsCalledAtOthers(t *testing.T) {
	refuses := status.Error(codes.Internal, "x")
	for name, tc := range map[string]struct {
		sick   balancertest.Behaviour
		part   float64 // of the calls
		policy string
	}{
		"few calls of many":        {balancertest.Behaviour{FailureRate: 1, Failure: refuses}, 0.03, balancer.RoundRobin},
		"one call in ten":          {balancertest.Behaviour{FailureRate: 1, Failure: refuses}, 0.1, balancer.LeastRequest},
		"a method without answers": {balancertest.Behaviour{Stuck: true}, 0.03, balancer.RoundRobin},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{Policy: tc.policy})
				load := balancertest.Load{Rate: 100, Duration: 10 * time.Second, Slow: tc.part}
				load.Run(t.Context(), conn)
				tc.sick.UnaryCallOnly = true
				f.Instance(0).Behave(tc.sick)
				load.Run(t.Context(), conn)
				load.Duration = time.Minute
				var o balancertest.Outcome
				s := f.Shares(func() { o = load.Run(t.Context(), conn) })
				if o.Failed > 20 {
					t.Errorf("%d of %d calls of the method failed; %+v", o.Failed, int(tc.part*float64(o.Calls)), balance(f, 0))
				}
				if tc.part < 0.1 && s[0] < 0.2 {
					t.Errorf("what answers all else gets %.2f of the calls", s[0])
				}
				f.Instance(0).Behave(balancertest.Behaviour{})
				load.Duration = 30 * time.Second
				load.Run(t.Context(), conn)
				load.Slow = 1
				if s := f.Shares(func() { load.Run(t.Context(), conn) }); s[0] < 0.25 {
					t.Errorf("after it got well, its share of the method's calls is %.2f; %+v", s[0], balance(f, 0))
				}
			})
		})
	}
}

func TestMethodThatFailsEverywhereIsCalledEverywhere(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		for k := range 3 {
			f.Instance(k).Behave(balancertest.Behaviour{FailureRate: 1, UnaryCallOnly: true})
		}
		load := balancertest.Load{Rate: 100, Duration: 20 * time.Second, Slow: 0.1}
		for k, s := range f.Shares(func() {
			if o := load.Run(t.Context(), conn); o.Failed != o.Calls/10 {
				t.Errorf("%d of %d calls failed", o.Failed, o.Calls)
			}
		}) {
			if b := balance(f, k); s < 0.25 || b.Breaker != target.BreakerClosed {
				t.Errorf("instance %d gets %.2f of the calls; %+v", k, s, b)
			}
		}
	})
}
