package breaker_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

const emptyCall, duplex = "/grpc.testing.TestService/EmptyCall", "/grpc.testing.TestService/FullDuplexCall"

// backend fails while it is told to, and counts its calls.
type backend struct {
	testpb.UnimplementedTestServiceServer
	fails atomic.Bool
	calls atomic.Int64
}

func (b *backend) answer() error {
	b.calls.Add(1)
	if b.fails.Load() {
		return status.Error(codes.Internal, "sick")
	}
	return nil
}

func (b *backend) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, b.answer()
}

func (b *backend) FullDuplexCall(ss testpb.TestService_FullDuplexCallServer) error {
	if err := b.answer(); err != nil {
		return err
	}
	return ss.Send(&testpb.StreamingOutputCallResponse{})
}

// serve returns a client of the backend, in memory and through the breakers.
func serve(t *testing.T, b *backend, set *breaker.Set, overrides ...policy.Override) *grpc.ClientConn {
	t.Helper()
	table := policy.NewTable(policy.Linked()...)
	if err := table.Apply(policy.Defaults{}, overrides); err != nil {
		t.Fatal(err)
	}
	pipe := bufconn.Listen(64 << 10)
	s := grpc.NewServer()
	testpb.RegisterTestServiceServer(s, b)
	go func() { _ = s.Serve(pipe) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
		grpc.WithUnaryInterceptor(set.UnaryClient(table)), grpc.WithStreamInterceptor(set.StreamClient(table)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func newSet(t *testing.T, cfg breaker.Config) *breaker.Set {
	t.Helper()
	set, err := breaker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func unary(ctx context.Context, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
	return cc.Invoke(ctx, emptyCall, &testpb.Empty{}, &testpb.Empty{}, opts...)
}

func stream(ctx context.Context, cc *grpc.ClientConn, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ss, err := testpb.NewTestServiceClient(cc).FullDuplexCall(ctx, opts...)
	if err != nil {
		return err
	}
	_, err = ss.Recv()
	return err
}

var errOpen = errs.Unavailable(errs.ReasonCircuitOpen, "")

var kinds = map[string]func(context.Context, *grpc.ClientConn, ...grpc.CallOption) error{emptyCall: unary, duplex: stream}

func TestTheInterceptorsHoldCallsBackAndTakeThemBack(t *testing.T) {
	for method, do := range kinds {
		t.Run(method, func(t *testing.T) {
			b, set := &backend{}, newSet(t, breaker.Config{OpenTime: time.Millisecond, MaxOpenTime: time.Millisecond})
			cc := serve(t, b, set)
			b.fails.Store(true)
			held := 0
			for range 100 {
				if err := do(t.Context(), cc); errors.Is(err, errOpen) {
					held++
				} else if status.Code(err) != codes.Internal {
					t.Fatalf("answered %v", err)
				}
			}
			if int(b.calls.Load()) != 100-held {
				t.Errorf("%d calls held back, and %d made", held, b.calls.Load())
			}
			if b.calls.Load() < breaker.DefaultMinCalls {
				t.Errorf("only %d calls were made", b.calls.Load())
			}
			b.fails.Store(false)
			for well := 0; well < 10; { // however long a millisecond is
				switch err := do(t.Context(), cc); {
				case err == nil:
					well++
				case !errors.Is(err, errOpen):
					t.Fatal(err)
				}
			}
			if s := set.Snapshot(); len(s) != 1 || s[0].Method != method || s[0].State != "closed" {
				t.Errorf("snapshot %+v", s)
			}
		})
	}
}

func TestAnOpenBreakerSendsNothing(t *testing.T) {
	for method, do := range kinds {
		t.Run(method, func(t *testing.T) {
			b, set := &backend{}, newSet(t, breaker.Config{OpenTime: time.Hour})
			cc := serve(t, b, set)
			b.fails.Store(true)
			for range 200 {
				_ = do(t.Context(), cc)
			}
			if b.calls.Load() != breaker.DefaultMinCalls {
				t.Errorf("%d calls were made", b.calls.Load())
			}
			if err := do(t.Context(), cc); !errors.Is(err, errOpen) {
				t.Errorf("answered %v", err)
			}
			if err := do(t.Context(), cc, breaker.Without()); status.Code(err) != codes.Internal {
				t.Errorf("without the breaker: %v", err)
			}
		})
	}
}

func TestCallsWithoutABreakerDoNotCount(t *testing.T) {
	for method, do := range kinds {
		for name, tc := range map[string]struct {
			policy policy.Switch
			opts   []grpc.CallOption
		}{"by their options": {"", []grpc.CallOption{breaker.Without()}}, "by policy": {policy.Off, nil}} {
			t.Run(name+method, func(t *testing.T) {
				b, set := &backend{}, newSet(t, breaker.Config{})
				cc := serve(t, b, set, policy.Override{Method: method, Breaker: tc.policy})
				b.fails.Store(true)
				for range 100 {
					_ = do(t.Context(), cc, tc.opts...)
				}
				if b.calls.Load() != 100 {
					t.Errorf("%d of 100 calls were made", b.calls.Load())
				}
				for _, s := range set.Snapshot() {
					if s.Calls != 0 || s.State != "closed" {
						t.Errorf("snapshot %+v", s)
					}
				}
			})
		}
	}
}

func TestUnknownMethodsShareABreaker(t *testing.T) {
	b, set := &backend{}, newSet(t, breaker.Config{})
	cc := serve(t, b, set)
	for _, m := range []string{"/a.A/A", "/b.B/B", "/c.C/C"} {
		_ = cc.Invoke(t.Context(), m, &testpb.Empty{}, &testpb.Empty{})
		if ss, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, m); err == nil {
			_ = ss.CloseSend()
			_ = ss.RecvMsg(&testpb.Empty{})
		}
	}
	if s := set.Snapshot(); len(s) != 1 || s[0].Method != policy.UnknownName {
		t.Errorf("snapshot %+v", s)
	}
}
