package balancer_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/target"
)

func TestWhichErrorsTakeAnInstanceOut(t *testing.T) {
	for name, tc := range map[string]struct {
		fail error
		out  bool
	}{
		"UNAVAILABLE":        {status.Error(codes.Unavailable, "x"), true},
		"INTERNAL":           {status.Error(codes.Internal, "x"), true},
		"UNKNOWN":            {errors.New("x"), true},
		"DATA_LOSS":          {status.Error(codes.DataLoss, "x"), true},
		"NOT_FOUND":          {status.Error(codes.NotFound, "x"), false},
		"INVALID_ARGUMENT":   {status.Error(codes.InvalidArgument, "x"), false},
		"ABORTED":            {status.Error(codes.Aborted, "x"), false},
		"UNIMPLEMENTED":      {status.Error(codes.Unimplemented, "x"), false},
		"RESOURCE_EXHAUSTED": {status.Error(codes.ResourceExhausted, "x"), false},
		"CANCELED":           {status.Error(codes.Canceled, "x"), false},
		"an orderly drain":   {errs.Draining("t"), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
				load := balancertest.Load{Rate: 100, Duration: time.Second}
				f.Instance(0).Behave(balancertest.Behaviour{FailureRate: 1, Failure: tc.fail})
				o := load.Run(t.Context(), conn)
				b := balance(f, 0)
				if out := b.Breaker != target.BreakerClosed; out != tc.out || !out && b.Factor != 1 {
					t.Errorf("%+v", b)
				}
				if tc.out && (o.Failed > 6 || b.Ejected != "failures") {
					t.Errorf("%d of %d calls failed; %+v", o.Failed, o.Calls, b)
				}
			})
		})
	}
}

// A window of seconds never holds enough calls of it, and what closes it is health checks, which it answers.
func TestFailingInstanceIsOutHoweverFewItsCalls(t *testing.T) {
	for name, sick := range map[string]balancertest.Behaviour{"failing": {FailureRate: 1}, "not answering": {Stuck: true}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
				load := balancertest.Load{Rate: 0.5, Duration: 2 * time.Minute}
				load.Run(t.Context(), conn)
				f.Instance(0).Behave(sick)
				load.Run(t.Context(), conn)
				if o := load.Run(t.Context(), conn); o.Failed > 12 {
					t.Errorf("%d of %d calls fail after two minutes; %+v", o.Failed, o.Calls, balance(f, 0))
				}
			})
		})
	}
}

func TestFailingInstanceIsProbedMoreAndMoreSeldomAndComesBackGradually(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		load := balancertest.Load{Rate: 50, Duration: time.Minute}
		f.Instance(0).Behave(balancertest.Behaviour{FailureRate: 1, Failure: status.Error(codes.Internal, "x")})
		if o := load.Run(t.Context(), conn); o.Failed > 20 {
			t.Errorf("%d of %d calls failed", o.Failed, o.Calls)
		}
		if n := f.Instance(0).Probes(); n < 4 || n > 12 {
			t.Errorf("%d probes in a minute", n)
		}
		f.Instance(0).Behave(balancertest.Behaviour{})
		if until(t, conn, load, func() bool { return balance(f, 0).Breaker == target.BreakerClosed }) > 13*time.Second {
			t.Error("not closed again")
		}
		load.Rate, load.Duration = 100, 2*time.Second
		var shares []float64
		for range 6 {
			shares = append(shares, f.Shares(func() { load.Run(t.Context(), conn) })[0])
		}
		if shares[0] > 0.15 || shares[2] < 0.1 || shares[2] > 0.3 || shares[5] < 0.31 {
			t.Errorf("the share did not grow gradually: %.2f", shares)
		}
	})
}

func TestAllAreUsedWhenMoreThanHalfAreOut(t *testing.T) {
	bubble(t, 5, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		load := balancertest.Load{Rate: 100, Duration: 5 * time.Second}
		bad := balancertest.Behaviour{FailureRate: 1}
		for k := range 2 {
			f.Instance(k).Behave(bad)
		}
		load.Run(t.Context(), conn)
		if s := f.Shares(func() { load.Run(t.Context(), conn) }); s[0]+s[1] > 0.02 {
			t.Errorf("two of five are out and get %.2f of the calls", s)
		}
		f.Instance(2).Behave(bad)
		load.Run(t.Context(), conn)
		for k, s := range f.Shares(func() { load.Run(t.Context(), conn) }) {
			if s < 0.1 || s > 0.35 {
				t.Errorf("three of five are out, all should be used; instance %d gets %.2f of the calls", k, s)
			}
		}
		for k := range 5 {
			f.Instance(k).Behave(balancertest.Behaviour{})
		}
		load.Duration = 30 * time.Second
		load.Run(t.Context(), conn)
		for k := range 5 {
			if b := balance(f, k); b.Breaker != target.BreakerClosed || b.Factor != 1 {
				t.Errorf("instance %d: %+v", k, b)
			}
		}
	})
}

func TestWhatIsShownOfAnInstanceThatIsOutIsWhatHappens(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		f.Instance(1).Target.Weight, f.Instance(2).Target.Weight = 100, 50
		f.Publish()
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		load := balancertest.Load{Rate: 100, Duration: time.Second}
		for k, out := range []string{"one", "two"} {
			f.Instance(k).Behave(balancertest.Behaviour{FailureRate: 1})
			load.Run(t.Context(), conn)
			b := balance(f, 0)
			used := f.Shares(func() { load.Run(t.Context(), conn) })[0] > 0.1
			if b.Breaker == target.BreakerClosed || used != (b.Factor > 0.1) || k == 1 && b.Why != "weight" {
				t.Errorf("%s of three are out, the first one used: %v; it is shown as %+v", out, used, b)
			}
		}
	})
}

func TestTheOnlyInstanceIsAlwaysUsed(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		f.Instance(0).Behave(balancertest.Behaviour{FailureRate: 1})
		load := balancertest.Load{Rate: 100, Duration: 20 * time.Second}
		o := load.Run(t.Context(), conn)
		if got := f.Instance(0).Calls(); got != int64(o.Calls) {
			t.Errorf("%d of %d calls reached it", got, o.Calls)
		}
		f.Instance(0).Behave(balancertest.Behaviour{})
		if o := load.Run(t.Context(), conn); o.Failed > 0 {
			t.Errorf("after it got well: %+v", o)
		}
	})
}

func TestInstanceThatIsKilledAndStartedAgain(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		for k := range 3 {
			f.Instance(k).Behave(balancertest.Behaviour{Latency: 50 * time.Millisecond})
		}
		conn := f.Dial(balancer.Config{})
		load := balancertest.Load{Rate: 200, Duration: 2 * time.Second}
		for range 4 {
			load.Run(t.Context(), conn)
			f.Instance(0).Kill()
			pass(100 * time.Millisecond)
			if o := load.Run(t.Context(), conn); o.Failed > 0 {
				t.Errorf("after it was killed: %+v", o)
			}
			f.Instance(0).Start()
			load.Run(t.Context(), conn)
		}
		load.Rate, load.Duration = 50, 20*time.Second
		load.Run(t.Context(), conn)
		if b := balance(f, 0); b.Breaker != target.BreakerClosed || b.Factor != 1 {
			t.Errorf("%+v", b)
		}
	})
}

func TestInstanceThatSaysItDoesNotServeGetsNoCalls(t *testing.T) {
	for _, policy := range []string{balancer.LeastRequest, balancer.RoundRobin, balancer.WeightedRoundRobin, balancer.RingHash} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{Policy: policy}, grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
				load := balancertest.Load{Rate: 100, Duration: 2 * time.Second}
				if o := load.Run(t.Context(), conn); o.Failed > 0 {
					t.Errorf("%+v", o)
				}
				f.Instance(0).SetServing(false)
				pass(time.Second)
				var o balancertest.Outcome
				shares := f.Shares(func() { o = load.Run(t.Context(), conn) })
				if shares[0] > 0 || o.Failed > 0 {
					t.Errorf("%.2f, %+v", shares, o)
				}
			})
		})
	}
}

func TestShortDeadlinesAreTheCallersFault(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		for k := range 3 {
			f.Instance(k).Behave(balancertest.Behaviour{SlowLatency: 100 * time.Millisecond})
		}
		conn := f.Dial(balancer.Config{})
		load := balancertest.Load{Rate: 100, Duration: 5 * time.Second, Slow: 1}
		load.Run(t.Context(), conn)
		client := testpb.NewTestServiceClient(conn)
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			if _, err := client.UnaryCall(ctx, &testpb.SimpleRequest{}); status.Code(err) != codes.DeadlineExceeded {
				t.Fatal(err)
			}
			cancel()
		}
		for k := range 3 {
			if b := balance(f, k); b.Breaker != target.BreakerClosed || b.Factor < 1 {
				t.Errorf("instance %d: %+v", k, b)
			}
		}
	})
}

func TestStreamsThatTheirClientsEndInTimeTakeNobodyOut(t *testing.T) {
	bubble(t, 2, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{Policy: balancer.RoundRobin})
		client := testpb.NewTestServiceClient(conn)
		for range 40 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			stream, err := client.FullDuplexCall(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
				t.Fatal(err)
			}
			cancel()
		}
		for k := range 2 {
			if b := balance(f, k); b.Ejected != "" || b.Factor < 1 {
				t.Errorf("instance %d: %+v", k, b)
			}
		}
	})
}

func TestSickInstanceIsPassedOverByAPolicyThatConnectsAsCallsCome(t *testing.T) {
	for name, sick := range map[string]func(*balancertest.Instance){
		"failing": func(i *balancertest.Instance) { i.Behave(balancertest.Behaviour{FailureRate: 1}) },
		"hanging": func(i *balancertest.Instance) { i.Hang() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 10, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{Policy: balancer.RingHash})
				ctx := metadata.AppendToOutgoingContext(t.Context(), "x-hash-key", "anna") // to the same instance, always
				load := balancertest.Load{Rate: 50, Duration: 3 * time.Second}
				used := slices.Index(f.Shares(func() { load.Run(ctx, conn) }), 1)
				if used < 0 {
					t.Fatal("calls with one key went to several instances")
				}
				sick(f.Instance(used))
				load.Run(ctx, conn)
				var o balancertest.Outcome
				if s := f.Shares(func() { o = load.Run(ctx, conn) }); o.Failed > 5 || s[used] > 0.05 {
					t.Errorf("%d of %d calls failed; %+v", o.Failed, o.Calls, balance(f, used))
				}
			})
		})
	}
}

func TestCallsGoOnWhenAllAreOutWhateverTheThreshold(t *testing.T) {
	bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{PanicThreshold: 1})
		for k := range 3 {
			f.Instance(k).Behave(balancertest.Behaviour{FailureRate: 1})
		}
		load := balancertest.Load{Rate: 200, Duration: 3 * time.Second}
		load.Run(t.Context(), conn)
		before := f.Instance(0).Calls() + f.Instance(1).Calls() + f.Instance(2).Calls()
		o := load.Run(t.Context(), conn)
		if reached := f.Instance(0).Calls() + f.Instance(1).Calls() + f.Instance(2).Calls() - before; reached < int64(o.Calls)*9/10 {
			t.Errorf("%d of %d calls reached an instance: %v", reached, o.Calls, o.Errors)
		}
	})
}

func TestCallersWhoDoNotWaitTakeNobodyOut(t *testing.T) {
	for name, deadline := range map[string]time.Duration{"hardly any time": 500 * time.Microsecond, "less than usual": 60 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{})
				for k := range 3 {
					f.Instance(k).Behave(balancertest.Behaviour{Latency: 70 * time.Millisecond})
				}
				if o := (balancertest.Load{Rate: 50, Duration: 5 * time.Second}).Run(t.Context(), conn); o.Failed > 0 {
					t.Fatalf("%+v", o)
				}
				o := balancertest.Load{Rate: 100, Duration: 5 * time.Second, Deadline: deadline}.Run(t.Context(), conn)
				if o.Failed != o.Calls {
					t.Errorf("%+v", o)
				}
				for k := range 3 {
					if b := balance(f, k); b.Breaker != target.BreakerClosed || b.Ejected != "" {
						t.Errorf("instance %d: %+v", k, b)
					}
				}
			})
		})
	}
}
