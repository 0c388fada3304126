package balancer_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
	"github.com/keelson-dev/keelson/target"
)

func TestSickInstanceLosesFourFifthsOfItsShareWithinFiveSecondsAndGetsItBack(t *testing.T) {
	well := balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 60 * time.Millisecond}
	slower, failing := well, well
	slower.Latency += 200 * time.Millisecond
	slower.SlowLatency += 200 * time.Millisecond
	failing.FailureRate, failing.Failure = 0.1, status.Error(codes.Internal, "x")
	for name, tc := range map[string]struct {
		n      int
		rate   float64
		sick   balancertest.Behaviour
		policy string
	}{
		"slower":                {3, 200, slower, balancer.LeastRequest},
		"slower, in turn":       {3, 200, slower, balancer.RoundRobin},
		"slower, of two":        {2, 100, slower, balancer.LeastRequest},
		"slower, of two, turns": {2, 100, slower, balancer.RoundRobin},
		"slower, of five":       {5, 200, slower, balancer.LeastRequest},
		"slower, few calls":     {3, 40, slower, balancer.LeastRequest},
		"failing":               {3, 300, failing, balancer.LeastRequest},
		"failing, in turn":      {3, 300, failing, balancer.RoundRobin},
		"failing, of two":       {2, 300, failing, balancer.LeastRequest},
		"failing, of five":      {5, 500, failing, balancer.LeastRequest},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, tc.n, func(t *testing.T, f *balancertest.Fleet) {
				for k := range tc.n {
					f.Instance(k).Behave(well)
				}
				conn := f.Dial(balancer.Config{Policy: tc.policy})
				share := func(d time.Duration) float64 {
					load := balancertest.Load{Rate: tc.rate, Duration: d, Slow: 0.2}
					return float64(tc.n) * f.Shares(func() { load.Run(t.Context(), conn) })[0]
				}
				// A thousand calls: of 200, whose instances are drawn, one share in 400 is outside of these bounds.
				many := max(5*time.Second, time.Duration(1000/tc.rate)*time.Second)
				if s := share(many); s < 0.7 || s > 1.3 {
					t.Errorf("its share was %.2f times the fair one while it was well", s)
				}
				f.Instance(0).Behave(tc.sick)
				share(5 * time.Second)
				if s := share(10 * time.Second); s > 0.2 {
					t.Errorf("its share is %.2f times the fair one", s)
				}
				f.Instance(0).Behave(well)
				load := balancertest.Load{Rate: tc.rate, Slow: 0.2}
				if took := until(t, conn, load, func() bool { return balance(f, 0).Factor == 1 }); took > 30*time.Second {
					t.Errorf("it had its share back after %s", took)
				}
				if s := share(many); s < 0.7 || s > 1.3 {
					t.Errorf("its share is %.2f times the fair one after it got well; %+v", s, balance(f, 0))
				}
			})
		})
	}
}

func TestInstanceThatIsSlowForOneMethodGetsLess(t *testing.T) {
	for _, tc := range []struct {
		part   float64
		policy string
	}{{0.1, balancer.RoundRobin}, {0.2, balancer.RoundRobin}, {0.2, balancer.LeastRequest}, {0.5, balancer.RoundRobin}} {
		t.Run(fmt.Sprintf("%s, %.0f per cent of the calls", tc.policy, 100*tc.part), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				well := balancertest.Behaviour{Latency: 5 * time.Millisecond, SlowLatency: 5 * time.Millisecond}
				for k := range 3 {
					f.Instance(k).Behave(well)
				}
				conn := f.Dial(balancer.Config{Policy: tc.policy})
				load := balancertest.Load{Rate: 200, Duration: 10 * time.Second, Slow: tc.part}
				load.Run(t.Context(), conn)
				f.Instance(0).Behave(balancertest.Behaviour{Latency: well.Latency, SlowLatency: 300 * time.Millisecond})
				load.Run(t.Context(), conn)
				if s := f.Shares(func() { load.Run(t.Context(), conn) }); s[0] > 0.12 {
					t.Errorf("it gets %.2f of the calls; %+v", s[0], balance(f, 0))
				}
				f.Instance(0).Behave(well)
				if took := until(t, conn, load, func() bool { return balance(f, 0).Factor == 1 }); took > 30*time.Second {
					t.Errorf("it had its share back after %s", took)
				}
			})
		})
	}
}

func TestNoiseThinsNobody(t *testing.T) {
	for name, behave := range map[string]func(k int) balancertest.Behaviour{
		"one call in a hundred fails": func(int) balancertest.Behaviour {
			return balancertest.Behaviour{Latency: 3 * time.Millisecond, FailureRate: 0.01}
		},
		"one call in ten fails everywhere": func(int) balancertest.Behaviour {
			return balancertest.Behaviour{Latency: 3 * time.Millisecond, FailureRate: 0.1}
		},
		"some are a little slower": func(k int) balancertest.Behaviour {
			return balancertest.Behaviour{Latency: time.Duration(10+k) * time.Millisecond, SlowLatency: 400 * time.Millisecond}
		},
		"some are many times as slow, and fast": func(k int) balancertest.Behaviour {
			return balancertest.Behaviour{Latency: time.Duration(1+2*k) * time.Millisecond, SlowLatency: 5 * time.Millisecond}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 4, func(t *testing.T, f *balancertest.Fleet) {
				for k := range 4 {
					f.Instance(k).Behave(behave(k))
				}
				conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
				thin := 0
				for range 15 {
					load := balancertest.Load{Rate: 200, Duration: time.Second, Slow: 0.3}
					load.Run(t.Context(), conn)
					for k := range 4 {
						if b := balance(f, k); b.Breaker != target.BreakerClosed || b.Factor < 1 {
							thin++
							t.Logf("instance %d: %+v", k, b)
						}
					}
				}
				if thin > 3 {
					t.Errorf("%d of 60 looks found an instance thinned", thin)
				}
			})
		})
	}
}

func TestShareFollowsTheWeight(t *testing.T) {
	for _, policy := range []string{balancer.LeastRequest, balancer.RoundRobin} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, 4, func(t *testing.T, f *balancertest.Fleet) {
				for k, w := range []uint32{100, 50, 10, 0} { // the last is not known: as the median, 50
					f.Instance(k).Target.Weight = w
					f.Instance(k).Behave(balancertest.Behaviour{Latency: time.Millisecond})
				}
				f.Publish()
				conn := f.Dial(balancer.Config{Policy: policy})
				load := balancertest.Load{Rate: 200, Duration: 30 * time.Second}
				got := f.Shares(func() { load.Run(t.Context(), conn) })
				for k, want := range []float64{100. / 210, 50. / 210, 10. / 210, 50. / 210} {
					if got[k] < want*0.7 || got[k] > want*1.4 { // five standard deviations of the smallest
						t.Errorf("shares %.3f, want %.3f of instance %d", got, want, k)
					}
				}
			})
		})
	}
}

func TestCallsStayInTheZoneWhileItCarriesThem(t *testing.T) {
	zones := []string{"a", "a", "a", "a", "b", "b", "b", "b"}
	for name, tc := range map[string]struct {
		zone       string
		down       int // of zone a
		least, max float64
	}{
		"no zone":             {"", 0, 0.43, 0.57},
		"all local ones well": {"a", 0, 0.99, 1},
		"half of them well":   {"a", 2, 0.99, 1},
		"one of them well":    {"a", 3, 0.1, 0.3},
		"none of them well":   {"a", 4, 0, 0},
		"unknown zone":        {"c", 0, 0.43, 0.57},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 8, func(t *testing.T, f *balancertest.Fleet) {
				for k, z := range zones {
					f.Instance(k).Target.Zone = z
					f.Instance(k).Behave(balancertest.Behaviour{Latency: time.Millisecond})
				}
				f.Publish()
				conn := f.Dial(balancer.Config{Zone: tc.zone})
				for k := range tc.down {
					f.Instance(k).SetServing(false)
				}
				load := balancertest.Load{Rate: 100, Duration: 2 * time.Second}
				load.Run(t.Context(), conn)
				load.Duration = 10 * time.Second
				got := f.Shares(func() { load.Run(t.Context(), conn) })
				if local := got[0] + got[1] + got[2] + got[3]; local < tc.least || local > tc.max {
					t.Errorf("%.2f of the calls stay; %.2f", local, got)
				}
			})
		})
	}
}

func TestZoneSpillsGradually(t *testing.T) {
	bubble(t, 20, func(t *testing.T, f *balancertest.Fleet) {
		for k := range 10 {
			f.Instance(k).Target.Zone = "a"
		}
		f.Publish()
		conn := f.Dial(balancer.Config{Zone: "a"})
		load := balancertest.Load{Rate: 300, Duration: 5 * time.Second}
		for k := range 7 {
			f.Instance(k).SetServing(false)
		}
		load.Run(t.Context(), conn)
		got := f.Shares(func() { load.Run(t.Context(), conn) })
		if local := got[7] + got[8] + got[9]; local < 0.5 || local > 0.7 {
			t.Errorf("three of ten local ones are well and carry %.2f of the calls, want 0.6", local)
		}
	})
}
