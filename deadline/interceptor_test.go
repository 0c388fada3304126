package deadline_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// patient waits for its context in every method.
type patient struct {
	testpb.UnimplementedTestServiceServer
}

func (patient) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (patient) FullDuplexCall(ss testpb.TestService_FullDuplexCallServer) error {
	<-ss.Context().Done()
	return ss.Context().Err()
}

// table bounds both methods of the test by 50 ms.
func table(t *testing.T) *policy.Table {
	t.Helper()
	tb := policy.NewTable(policy.Linked()...)
	if err := tb.Apply(policy.Defaults{}, []policy.Override{{Method: "/grpc.testing.TestService/*", Timeout: 50 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	return tb
}

// serve runs the patient service and returns a client of it.
func serve(t *testing.T, server []grpc.ServerOption, client []grpc.DialOption) testpb.TestServiceClient {
	t.Helper()
	l := bufconn.Listen(64 << 10)
	s := grpc.NewServer(server...)
	testpb.RegisterTestServiceServer(s, patient{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := grpc.NewClient("passthrough:///in-memory", append(client,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return testpb.NewTestServiceClient(conn)
}

func TestTheInterceptorsBoundAndExplain(t *testing.T) {
	tb := table(t)
	for name, tc := range map[string]struct {
		server []grpc.ServerOption
		client []grpc.DialOption
		side   string
	}{
		"server": {[]grpc.ServerOption{grpc.UnaryInterceptor(deadline.UnaryServer(tb)), grpc.StreamInterceptor(deadline.StreamServer(tb))}, nil, "server"},
		"client": {nil, []grpc.DialOption{grpc.WithUnaryInterceptor(deadline.UnaryClient(tb)), grpc.WithStreamInterceptor(deadline.StreamClient(tb))}, "client"},
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, tc.server, tc.client)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, unaryErr := c.EmptyCall(ctx, &testpb.Empty{})
			ss, streamErr := c.FullDuplexCall(ctx)
			if streamErr == nil { // else the deadline passed while it was opened
				_, streamErr = ss.Recv()
			}
			for kind, err := range map[string]error{"unary": unaryErr, "stream": streamErr} {
				e := errs.From(err)
				if e.Code() != codes.DeadlineExceeded || e.Meta("deadline") != "50ms" || e.Meta("deadline_side") != tc.side {
					t.Errorf("%s: %v, deadline %q by the %q", kind, err, e.Meta("deadline"), e.Meta("deadline_side"))
				}
			}
		})
	}
}

func TestALateCallIsNotBegun(t *testing.T) {
	tb := table(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	_, unaryErr := deadline.UnaryServer(tb)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: testpb.TestService_EmptyCall_FullMethodName}, func(context.Context, any) (any, error) {
		t.Error("the handler ran")
		return nil, nil
	})
	streamErr := deadline.StreamServer(tb)(nil, inContext{ctx: ctx}, &grpc.StreamServerInfo{FullMethod: testpb.TestService_FullDuplexCall_FullMethodName}, func(any, grpc.ServerStream) error {
		t.Error("the handler ran")
		return nil
	})
	for kind, err := range map[string]error{"unary": unaryErr, "stream": streamErr} {
		if e := errs.From(err); e.Code() != codes.DeadlineExceeded || e.Reason() != errs.ReasonDeadlineExceeded {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

type inContext struct {
	grpc.ServerStream
	ctx context.Context
}

func (s inContext) Context() context.Context { return s.ctx }
