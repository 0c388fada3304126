package keelson_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/policy"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

var errSick = errs.Unavailable("SICK", "the method is sick")

// openCircuit calls a method that fails until its breaker is open, and returns
// what the breaker says.
func openCircuit(ctx context.Context, t *testing.T, call func() error) *errs.Error {
	t.Helper()
	for ctx.Err() == nil {
		err := call()
		if errors.Is(err, errs.Unavailable(errs.ReasonCircuitOpen, "")) {
			return errs.From(err)
		}
		if !errors.Is(err, errSick) {
			t.Fatalf("got %v, want what the handler said or an open circuit", err)
		}
	}
	t.Fatal("the circuit stayed closed")
	return nil
}

func TestASickMethodIsLeftAloneAndTakenBack(t *testing.T) {
	var well atomic.Bool
	sick := func() error {
		if well.Load() {
			return nil
		}
		return errSick
	}
	s := &stub{
		empty: func(context.Context) error { return sick() },
		unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{}, nil
		},
		output: func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error {
			return sick()
		},
	}
	conn := keelsontest.Serve(t, s.register)
	ctx := bounded(t)
	for _, method := range []string{emptyCall, outputCall} {
		open := openCircuit(ctx, t, func() error { return invoke(ctx, conn, method) })
		if after, ok := open.RetryAfter(); !ok || after <= 0 || after > 3*time.Second {
			t.Errorf("%s: the open breaker says to come back after %s", method, after)
		}
		if name := open.Meta("breaker"); name != conn.Target()+" "+method {
			t.Errorf("%s: the breaker is called %q", method, name)
		}
		if err := invoke(ctx, conn, method, keelson.WithoutBreaker()); !errors.Is(err, errSick) {
			t.Errorf("%s without the breaker: %v, want the handler's answer", method, err)
		}
	}
	if err := invoke(ctx, conn, unaryCall); err != nil {
		t.Errorf("another method suffers: %v", err)
	}
	well.Store(true)
	for _, method := range []string{emptyCall, outputCall} {
		err := invoke(ctx, conn, method)
		for err != nil && ctx.Err() == nil {
			if !errors.Is(err, errs.Unavailable(errs.ReasonCircuitOpen, "")) {
				t.Fatalf("%s after the recovery: %v", method, err)
			}
			after, _ := errs.From(err).RetryAfter()
			select {
			case <-time.After(after):
			case <-ctx.Done():
			}
			err = invoke(ctx, conn, method)
		}
		if err != nil {
			t.Errorf("%s was not taken back: %v", method, err)
		}
	}
}

func TestABreakerThatIsOffNeverOpens(t *testing.T) {
	s := &stub{empty: func(context.Context) error { return errSick }}
	cfg := keelson.Config{}
	cfg.Methods = []policy.Override{{Method: emptyCall, Breaker: policy.Off}}
	conn := keelsontest.Serve(t, s.register, keelsontest.WithConfig(cfg))
	for range 60 {
		if err := invoke(bounded(t), conn, emptyCall); !errors.Is(err, errSick) {
			t.Fatal(err)
		}
	}
}

// A server that says when to come back is asked again then, or not at all when
// that is after the deadline; the caller hears what the server said.
func TestARetryWaitsForAsLongAsTheServerSays(t *testing.T) {
	for _, tc := range []struct {
		name  string
		after time.Duration
		calls int64
	}{
		{"within the deadline", 50 * time.Millisecond, 2},
		{"after the deadline", time.Hour, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var calls atomic.Int64
			conn := keelsontest.Serve(t, func(s *keelson.Service) {
				userv1.RegisterUserServiceServer(s, userStub{get: func(context.Context) (*userv1.User, error) {
					if calls.Add(1) < 2 {
						return nil, errSick.With(errs.RetryAfter(tc.after))
					}
					return &userv1.User{}, nil
				}})
			})
			_, err := userv1.NewUserServiceClient(conn).GetUser(bounded(t), &userv1.GetUserRequest{Name: "users/anna"}, keelson.WithoutHedge())
			if calls.Load() != tc.calls || (tc.calls == 1) != errors.Is(err, errSick) {
				t.Errorf("%d calls, and the caller got %v", calls.Load(), err)
			}
		})
	}
}

// userStub answers GetUser by a function.
type userStub struct {
	userv1.UnimplementedUserServiceServer
	get func(context.Context) (*userv1.User, error)
}

func (u userStub) GetUser(ctx context.Context, _ *userv1.GetUserRequest) (*userv1.User, error) {
	return u.get(ctx)
}

// One of two instances accepts calls and never answers; what may be hedged is
// answered by the other all the same.
func TestACallAtAnInstanceThatHangsIsAnsweredByAnother(t *testing.T) {
	f := newFleet(t)
	var caught atomic.Int64
	f.serve(func(s *keelson.Service) {
		userv1.RegisterUserServiceServer(s, userStub{get: func(context.Context) (*userv1.User, error) { return &userv1.User{Name: "users/anna"}, nil }})
	})
	f.serve(func(s *keelson.Service) {
		userv1.RegisterUserServiceServer(s, userStub{get: func(ctx context.Context) (*userv1.User, error) {
			caught.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}})
	})
	registry := prometheus.NewRegistry()
	client, conn := f.dial(keelson.WithRegistry(registry))
	c := userv1.NewUserServiceClient(conn)
	ctx := bounded(t)
	for calls := 0; (calls < 20 || caught.Load() == 0) && ctx.Err() == nil; calls++ {
		got, err := c.GetUser(ctx, &userv1.GetUserRequest{Name: "users/anna"})
		if err != nil || got.GetName() != "users/anna" {
			t.Fatalf("got %v, %v", got, err)
		}
	}
	states := client.Targets()
	if len(states) != 1 || len(states[0].Instances) != 2 || len(states[0].Methods) != 1 {
		t.Fatalf("targets: %+v", states)
	}
	if m := states[0].Methods[0]; m.Hedge != "on" || m.HedgeDelay == "" || m.Breaker == nil || m.Breaker.State != "closed" {
		t.Errorf("GetUser is shown as %+v", m)
	}
	for _, i := range states[0].Instances {
		if i.Balance == nil {
			t.Errorf("nothing is shown of what the balancer makes of %s", i.ID)
		}
	}
	if got := sum(t, registry, "keelson_hedges_total"); got < 1 {
		t.Errorf("%v hedges are counted, want one at least", got)
	}
	if attempts, handled := sum(t, registry, "grpc_client_attempts_total"), sum(t, registry, "grpc_client_handled_total"); attempts <= handled {
		t.Errorf("%v attempts of %v calls are counted, though some were hedged", attempts, handled)
	}
}

func TestTheOnlyInstanceIsNotAskedTwice(t *testing.T) {
	f := newFleet(t)
	f.cfg.Methods = []policy.Override{{Method: "/user.v1.UserService/GetUser", HedgeDelay: time.Millisecond}}
	var calls atomic.Int64
	f.serve(func(s *keelson.Service) {
		userv1.RegisterUserServiceServer(s, userStub{get: func(context.Context) (*userv1.User, error) {
			calls.Add(1)
			<-time.After(50 * time.Millisecond)
			return &userv1.User{}, nil
		}})
	})
	registry := prometheus.NewRegistry()
	_, conn := f.dial(keelson.WithRegistry(registry))
	for range 2 { // the second call knows how many instances there are
		if _, err := userv1.NewUserServiceClient(conn).GetUser(bounded(t), &userv1.GetUserRequest{Name: "users/anna"}); err != nil {
			t.Fatal(err)
		}
	}
	if hedges := sum(t, registry, "keelson_hedges_total"); calls.Load() != 2 || hedges > 1 {
		t.Errorf("%d calls reached the instance, and %v hedges are counted", calls.Load(), hedges)
	}
}

func TestACallThatMayNotBeSentTwiceIsNotHedged(t *testing.T) {
	f := newFleet(t)
	f.cfg.Methods = []policy.Override{{Method: "/user.v1.UserService/GetUser", HedgeDelay: time.Millisecond}}
	var calls atomic.Int64
	slow := userStub{get: func(ctx context.Context) (*userv1.User, error) {
		calls.Add(1)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	for range 2 {
		f.serve(func(s *keelson.Service) { userv1.RegisterUserServiceServer(s, slow) })
	}
	_, conn := f.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := userv1.NewUserServiceClient(conn).GetUser(ctx, &userv1.GetUserRequest{Name: "users/anna"}, keelson.WithoutRetry())
	if errs.Code(err) != codes.DeadlineExceeded || calls.Load() > 1 {
		t.Errorf("%d calls reached a server, and the caller got %v", calls.Load(), err)
	}
}

// sum adds up all series of a counter or a gauge.
func sum(t *testing.T, registry *prometheus.Registry, name string) (total float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return total
}
