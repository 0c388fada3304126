package balancer_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
)

func TestSickInstanceIsNotTakenForANewOneWhenTheRegistryFlaps(t *testing.T) {
	for name, sick := range map[string]balancertest.Behaviour{"failing": {FailureRate: 1}, "not answering": {Stuck: true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{}, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
				load := balancertest.Load{Rate: 200, Duration: 5 * time.Second}
				load.Run(t.Context(), conn)
				f.Instance(0).Behave(sick)
				load.Run(t.Context(), conn)
				done := make(chan balancertest.Outcome)
				load.Duration = 30 * time.Second
				go func() { done <- load.Run(t.Context(), conn) }()
				for range 15 {
					pass(time.Second)
					f.Publish(f.Instance(1), f.Instance(2))
					pass(time.Second)
					f.Publish()
				}
				if o := <-done; o.Failed > 40 {
					t.Errorf("%d of %d calls failed", o.Failed, o.Calls)
				}
			})
		})
	}
}

func TestWhatComesToTheAddressOfASickInstanceIsNew(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		load := balancertest.Load{Rate: 100, Duration: 3 * time.Second}
		f.Instance(0).Behave(balancertest.Behaviour{FailureRate: 1})
		load.Run(t.Context(), conn)
		f.Publish(f.Instance(1), f.Instance(2))
		f.Instance(0).Kill()
		pass(time.Second)
		f.Instance(0).Behave(balancertest.Behaviour{})
		f.Instance(0).Start()
		f.Instance(0).Target.ID = "another"
		f.Publish()
		pass(time.Second)
		if b := balance(f, 0); b.Ejected != "" || b.Factor != 1 {
			t.Errorf("%+v", b)
		}
	})
}

func TestListsThatChangeAtSpeedLoseNoCall(t *testing.T) {
	const n = 12
	bubble(t, n, func(t *testing.T, f *balancertest.Fleet) {
		for k := range n {
			f.Instance(k).Behave(balancertest.Behaviour{Latency: 50 * time.Millisecond})
		}
		conn := f.Dial(balancer.Config{}, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
		done := make(chan balancertest.Outcome)
		go func() { done <- balancertest.Load{Rate: 200, Duration: 10 * time.Second}.Run(t.Context(), conn) }()
		for k := range 300 { // one of three is another one each time
			f.Publish(f.Instance(k%n), f.Instance((k+1)%n), f.Instance((k+2)%n))
			pass(30 * time.Millisecond)
		}
		if o := <-done; o.Failed > 0 {
			t.Errorf("%+v", o)
		}
		f.Publish()
		for k := range n {
			if b := balance(f, k); b.InFlight != 0 || b.Ejected != "" {
				t.Errorf("instance %d: %+v", k, b)
			}
		}
	})
}
