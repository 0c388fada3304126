package balancer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
)

// bubble runs a test where time passes as soon as nobody has anything to do.
func bubble(t *testing.T, n int, test func(t *testing.T, f *balancertest.Fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := balancertest.New(t, n)
		test(t, f)
		f.Close()
	})
}

func TestCallsAreSpreadEvenly(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		shares := f.Shares(func() {
			if out := (balancertest.Load{Rate: 300, Duration: 10 * time.Second}).Run(t.Context(), conn); out.Failed > 0 {
				t.Errorf("%+v", out)
			}
		})
		t.Logf("%.3f", shares)
	})
}

func TestHangingInstanceIsOut(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		load := func(d time.Duration) []float64 {
			return f.Shares(func() {
				out := (balancertest.Load{Rate: 100, Duration: d}).Run(t.Context(), conn)
				t.Logf("%+v", out)
			})
		}
		for range 3 {
			f.Instance(0).Behave(balancertest.Behaviour{Latency: 2 * time.Millisecond})
			f.Instance(1).Behave(balancertest.Behaviour{Latency: 2 * time.Millisecond})
			f.Instance(2).Behave(balancertest.Behaviour{Latency: 2 * time.Millisecond})
			load(5 * time.Second)
			f.Instance(0).Hang()
			load(2 * time.Second)
			t.Logf("%+v", f.Target().Snapshot().Instances[0].Balance)
			load(58 * time.Second)
			f.Instance(0).Resume()
			for range 6 {
				t.Logf("%.3f", load(5*time.Second))
				t.Logf("%+v", f.Target().Snapshot().Instances[0].Balance)
			}
		}
	})
}
