package balancer_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
	"github.com/keelson-dev/keelson/target"
)

// mishaps are what may happen to an instance of a fleet, or to the list.
func mishaps(f *balancertest.Fleet, r *rand.Rand, n int) []func(*balancertest.Instance) {
	behave := func(b balancertest.Behaviour) func(*balancertest.Instance) {
		return func(i *balancertest.Instance) { i.Behave(b) }
	}
	return []func(*balancertest.Instance){
		behave(balancertest.Behaviour{}),
		behave(balancertest.Behaviour{FailureRate: 0.3, Failure: status.Error(codes.Internal, "x")}),
		behave(balancertest.Behaviour{FailureRate: 1, UnaryCallOnly: true}),
		behave(balancertest.Behaviour{Stuck: true}),
		behave(balancertest.Behaviour{Latency: 200 * time.Millisecond}),
		(*balancertest.Instance).Hang,
		(*balancertest.Instance).Resume,
		(*balancertest.Instance).Kill,
		(*balancertest.Instance).Start,
		func(i *balancertest.Instance) { i.SetServing(false) },
		func(i *balancertest.Instance) { i.SetServing(true) },
		func(*balancertest.Instance) {
			var list []*balancertest.Instance
			for _, k := range r.Perm(n)[:1+r.IntN(n)] {
				list = append(list, f.Instance(k))
			}
			f.Publish(list...)
		},
	}
}

// use makes calls and opens streams until the context ends.
func use(ctx context.Context, conn *grpc.ClientConn) {
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			for ctx.Err() == nil {
				short, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
				if stream, err := testpb.NewTestServiceClient(conn).FullDuplexCall(short); err == nil {
					_, _ = stream.Recv() // it ends when it is time
				}
				cancel()
			}
		})
	}
	balancertest.Load{Rate: 100, Duration: time.Hour, Deadline: 900 * time.Millisecond, Slow: 0.2}.Run(ctx, conn)
	wg.Wait()
}

func TestWhateverHappenedAllIsWellAfterwards(t *testing.T) {
	const n = 6
	for seed, policy := range []string{balancer.LeastRequest, balancer.RoundRobin, balancer.WeightedRoundRobin, balancer.RingHash} {
		t.Run(policy, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			bubble(t, n, func(t *testing.T, f *balancertest.Fleet) {
				r := rand.New(rand.NewPCG(uint64(seed), 7)) //nolint:gosec // the same in each run
				conn := f.Dial(balancer.Config{Policy: policy}, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
				ctx, stop := context.WithCancel(t.Context())
				var used sync.WaitGroup
				used.Go(func() { use(ctx, conn) })
				happens := mishaps(f, r, n)
				for range 120 {
					happens[r.IntN(len(happens))](f.Instance(r.IntN(n)))
					pass(250 * time.Millisecond)
				}
				for k := range n {
					i := f.Instance(k)
					i.Resume()
					i.Start()
					i.SetServing(true)
					i.Behave(balancertest.Behaviour{})
				}
				f.Publish()
				pass(70 * time.Second)
				stop()
				used.Wait()
				if o := (balancertest.Load{Rate: 100, Duration: 10 * time.Second}).Run(t.Context(), conn); o.Failed > 0 {
					t.Errorf("%+v", o)
				}
				pass(time.Second)
				for k := range n {
					if b := balance(f, k); b.Breaker != target.BreakerClosed || b.Factor != 1 || b.InFlight != 0 {
						t.Errorf("instance %d: %+v", k, b)
					}
				}
			}, balancer.Observe(balancer.WithRegisterer(reg)))
			if p, e := gauge(t, reg, "keelson_balancer_panic"), gauge(t, reg, "keelson_balancer_ejected_instances"); p != 0 || e != 0 {
				t.Errorf("%v connections are in a panic and %v instances out", p, e)
			}
		})
	}
}
