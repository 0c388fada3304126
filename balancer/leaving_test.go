package balancer_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/balancer/balancertest"
)

func TestInstancesThatDrainAreUsedWhileNoOtherServes(t *testing.T) {
	for _, policy := range []string{balancer.LeastRequest, balancer.RoundRobin, balancer.RingHash} {
		t.Run(policy, func(t *testing.T) {
			bubble(t, 2, func(t *testing.T, f *balancertest.Fleet) {
				conn := f.Dial(balancer.Config{Policy: policy})
				load := balancertest.Load{Rate: 100, Duration: time.Second}
				f.Instance(0).SetServing(false)
				pass(time.Second)
				if s := f.Shares(func() { load.Run(t.Context(), conn) }); s[0] != 0 {
					t.Errorf("one of two drains and gets %.2f of the calls", s)
				}
				f.Instance(1).SetServing(false)
				at := balancertest.Load{Rate: 100, Duration: time.Second, Deadline: 10 * time.Millisecond}
				if o := at.Run(t.Context(), conn); o.Failed > 0 {
					t.Errorf("while all drain: %+v", o)
				}
				f.Instance(0).SetServing(true)
				pass(time.Second)
				if s := f.Shares(func() { load.Run(t.Context(), conn) }); s[1] != 0 {
					t.Errorf("one serves again, the other gets %.2f of the calls", s)
				}
			})
		})
	}
}

func TestAnInstanceThatServesNoLongerIsNotUsedForLong(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		f.Instance(0).SetServing(false)
		load := balancertest.Load{Rate: 10, Duration: time.Second, Deadline: 10 * time.Millisecond}
		pass(8 * time.Second)
		if o := load.Run(t.Context(), conn); o.Failed > 0 {
			t.Errorf("as long as it may drain: %+v", o)
		}
		pass(2 * time.Second)
		if o := load.Run(t.Context(), conn); o.Failed != o.Calls || status.Code(o.Errors[0]) != codes.Unavailable {
			t.Errorf("after that: %+v", o)
		}
	})
}

func TestAnInstanceThatNeverServedGetsNoCalls(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *balancertest.Fleet) {
		f.Instance(0).Kill()
		f.Instance(0).SetServing(false)
		f.Instance(0).Start()
		conn := f.Dial(balancer.Config{Policy: balancer.RingHash}) // which does not wait until the instance serves
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, err := testpb.NewTestServiceClient(conn).EmptyCall(ctx, &testpb.Empty{}, grpc.WaitForReady(true))
		if status.Code(err) != codes.DeadlineExceeded || f.Instance(0).Calls() > 0 {
			t.Errorf("%v after %d calls", err, f.Instance(0).Calls())
		}
		f.Instance(0).SetServing(true)
		if _, err := testpb.NewTestServiceClient(conn).EmptyCall(t.Context(), &testpb.Empty{}, grpc.WaitForReady(true)); err != nil {
			t.Error(err)
		}
	})
}

func TestAnInstanceThatDrainsAndIsGoneGetsNoCalls(t *testing.T) {
	bubble(t, 1, func(t *testing.T, f *balancertest.Fleet) {
		conn := f.Dial(balancer.Config{})
		f.Instance(0).SetServing(false)
		pass(time.Second)
		f.Instance(0).Kill()
		pass(100 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if _, err := testpb.NewTestServiceClient(conn).EmptyCall(ctx, &testpb.Empty{}, grpc.WaitForReady(true)); status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
	})
}
