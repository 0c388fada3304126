package balancer_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
	"github.com/keelson-dev/keelson/target"
)

// bubble runs a test where time passes as soon as nobody has anything to do.
func bubble(t *testing.T, n int, test func(t *testing.T, f *balancertest.Fleet), opts ...target.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := balancertest.New(t, n, opts...)
		test(t, f)
		f.Close()
	})
}

// pass lets time pass in a bubble.
func pass(d time.Duration) { <-time.After(d) }

func balance(f *balancertest.Fleet, k int) target.Balance {
	address := f.Instance(k).Target.Address
	for _, i := range f.Target().Snapshot().Instances {
		if i.Address == address && i.Balance != nil {
			return *i.Balance
		}
	}
	return target.Balance{}
}

// until makes calls until something holds, and returns how long that took; at most a minute.
func until(t *testing.T, conn *grpc.ClientConn, load balancertest.Load, holds func() bool) time.Duration {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		load.Duration = time.Minute
		load.Run(ctx, conn)
	}()
	start := time.Now()
	for !holds() && time.Since(start) < time.Minute {
		pass(10 * time.Millisecond)
	}
	took := time.Since(start)
	stop()
	<-done
	return took
}

func TestHangingInstanceIsOutWithinTwoSecondsAndBackWithinThirty(t *testing.T) {
	fast := balancertest.Behaviour{Latency: 2 * time.Millisecond, SlowLatency: 1500 * time.Millisecond}
	for name, load := range map[string]balancertest.Load{
		"many calls":                   {Rate: 200},
		"some calls":                   {Rate: 50},
		"few calls":                    {Rate: 5, Deadline: 3 * time.Second},
		"usually slow calls":           {Rate: 20, Slow: 1, Deadline: 5 * time.Second},
		"calls of both kinds":          {Rate: 50, Slow: 0.5, Deadline: 5 * time.Second},
		"calls that are soon given up": {Rate: 50, Deadline: 50 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				for k := range 3 {
					f.Instance(k).Behave(fast)
				}
				cfg := balancer.Config{}
				if load.Rate < 10 {
					cfg.Policy = balancer.RoundRobin // by chance a second may pass without a call to the instance, and nobody sees a hang
				}
				conn := f.Dial(cfg)
				load.Duration = 5 * time.Second
				load.Run(t.Context(), conn)
				sick := f.Instance(1)
				sick.Hang()
				out := until(t, conn, load, func() bool { return balance(f, 1).Breaker == target.BreakerOpen })
				if out > 2*time.Second {
					t.Errorf("out after %s", out)
				}
				if b := balance(f, 1); b.Ejected != "hang" && load.Deadline != 50*time.Millisecond {
					t.Errorf("out for %q", b.Ejected)
				}
				load.Duration = 20 * time.Second // and it is probed four times
				if o := load.Run(t.Context(), conn); o.Failed > 0 && load.Rate < 200 {
					t.Errorf("calls went to the instance that is out: %+v", o)
				}
				sick.Resume()
				back := until(t, conn, load, func() bool { b := balance(f, 1); return b.Breaker == target.BreakerClosed && b.Factor == 1 })
				if back > 30*time.Second {
					t.Errorf("back in full after %s", back)
				}
				t.Logf("out after %s, back after %s", out, back)
			})
		})
	}
}

func TestInstanceThatAnswersHealthChecksButNoCallsIsOut(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		load := balancertest.Load{Rate: 100, Duration: 5 * time.Second, Deadline: 10 * time.Second}
		load.Run(t.Context(), conn)
		f.Instance(0).Behave(balancertest.Behaviour{Stuck: true})
		out := until(t, conn, load, func() bool { return balance(f, 0).Breaker == target.BreakerOpen })
		if out > 2*time.Second || balance(f, 0).Ejected != "hang" {
			t.Errorf("out after %s for %q", out, balance(f, 0).Ejected)
		}
		load.Duration = 30 * time.Second
		shares := f.Shares(func() { load.Run(t.Context(), conn) })
		if shares[0] > 0.01 {
			t.Errorf("it is still tried with %v of the calls", shares[0])
		}
		f.Instance(0).Behave(balancertest.Behaviour{})
		if back := until(t, conn, load, func() bool { return balance(f, 0).Factor == 1 }); back > 45*time.Second {
			t.Errorf("back in full after %s", back)
		}
	})
}

// As hedges do: no call is ever old enough for its age to say something.
func TestInstanceThatAnswersHealthChecksButNoCallsIsOutThoughCallsAreSoonGivenUp(t *testing.T) {
	for _, rate := range []float64{20, 200} {
		t.Run(fmt.Sprintf("%v calls a second", rate), func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				for k := range 3 {
					f.Instance(k).Behave(balancertest.Behaviour{Latency: 5 * time.Millisecond})
				}
				conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
				load := balancertest.Load{Rate: rate, Duration: 5 * time.Second, Deadline: 20 * time.Millisecond}
				load.Run(t.Context(), conn)
				f.Instance(0).Behave(balancertest.Behaviour{Stuck: true})
				out := until(t, conn, load, func() bool { return balance(f, 0).Breaker == target.BreakerOpen })
				if out > 2*time.Second || balance(f, 0).Ejected != "hang" {
					t.Errorf("out after %s for %q", out, balance(f, 0).Ejected)
				}
				load.Duration = 30 * time.Second
				if s := f.Shares(func() { load.Run(t.Context(), conn) }); s[0] > 0.07 {
					t.Errorf("it is still tried with %.3f of the calls", s[0])
				}
				f.Instance(0).Behave(balancertest.Behaviour{Latency: 5 * time.Millisecond})
				if back := until(t, conn, load, func() bool { return balance(f, 0).Factor == 1 }); back > 30*time.Second {
					t.Errorf("back in full after %s", back)
				}
			})
		})
	}
}

func TestCallsThatAreGivenUpEverywhereTakeNobodyOut(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		load := balancertest.Load{Rate: 100, Duration: 5 * time.Second, Deadline: 20 * time.Millisecond}
		load.Run(t.Context(), conn)
		for k := range 3 {
			f.Instance(k).Behave(balancertest.Behaviour{Stuck: true})
		}
		load.Run(t.Context(), conn)
		for k := range 3 {
			if b := balance(f, k); b.Ejected != "" || b.Factor < 1 {
				t.Errorf("instance %d: %+v", k, b)
			}
		}
	})
}

func TestWhatHangsEverywhereTakesNobodyOut(t *testing.T) {
	bubble(t, 5, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		load := balancertest.Load{Rate: 100, Duration: 5 * time.Second, Deadline: 8 * time.Second}
		load.Run(t.Context(), conn)
		for k := range 5 {
			f.Instance(k).Behave(balancertest.Behaviour{Latency: 5 * time.Second}) // a database that all wait for
		}
		for range 20 {
			load.Duration = 500 * time.Millisecond
			load.Run(t.Context(), conn)
			for k := range 5 {
				if b := balance(f, k); b.Breaker != target.BreakerClosed {
					t.Fatalf("instance %d: %+v", k, b)
				}
			}
		}
		load.Duration = 5 * time.Second
		for k, s := range f.Shares(func() { load.Run(t.Context(), conn) }) {
			if s < 0.1 || s > 0.3 {
				t.Errorf("instance %d gets %.2f of the calls", k, s)
			}
		}
	})
}

func TestStreamsAreNoSignOfAHang(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		for range 10 {
			stream, err := testpb.NewTestServiceClient(conn).FullDuplexCall(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stream.CloseSend() }()
		}
		pass(time.Minute)
		for k := range 2 {
			// Whether it lives is asked once, since nothing is heard of what its streams receive.
			if b := balance(f, k); b.Breaker != target.BreakerClosed || b.Factor != 1 || b.InFlight == 0 || f.Instance(k).Probes() > 1 {
				t.Errorf("instance %d: %+v, %d probes", k, b, f.Instance(k).Probes())
			}
		}
	})
}

func TestHangingInstanceGetsNoMoreStreamsThoughNothingElseIsCalled(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		client := testpb.NewTestServiceClient(f.Dial(balancer.Config{Policy: balancer.RoundRobin}))
		open := func(n int) {
			for range n {
				if _, err := client.FullDuplexCall(t.Context()); err != nil {
					t.Fatal(err)
				}
				pass(100 * time.Millisecond)
			}
		}
		open(10)
		sick := f.Instance(1)
		sick.Hang()
		open(20)
		if b := balance(f, 1); b.Breaker != target.BreakerOpen || b.Ejected != "hang" {
			t.Errorf("%+v", b)
		}
		had := balance(f, 1).InFlight
		open(30)
		if b := balance(f, 1); b.InFlight != had {
			t.Errorf("%d streams were opened at an instance that hangs", b.InFlight-had)
		}
		sick.Resume()
		pass(20 * time.Second)
		open(30)
		if b := balance(f, 1); b.Breaker != target.BreakerClosed || b.InFlight == had {
			t.Errorf("%+v", b)
		}
	})
}
