package call_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts gRPC's interop service and returns its address.
func serve(t *testing.T, register ...func(*grpc.Server)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := grpc.NewServer(grpc.WaitForHandlers(true))
	grpc_testing.RegisterTestServiceServer(s, &interop{})
	for _, r := range register {
		r(s)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func withReflection(s *grpc.Server) { reflection.Register(s) }

// interop answers all four kinds of calls.
type interop struct {
	grpc_testing.UnimplementedTestServiceServer
}

func (*interop) UnaryCall(ctx context.Context, r *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	if c := codes.Code(r.GetResponseStatus().GetCode()); c != codes.OK { //nolint:gosec // codes are small
		st, err := status.New(c, r.GetResponseStatus().GetMessage()).WithDetails(
			&errdetails.ErrorInfo{Reason: "ASKED_FOR", Domain: "example.com", Metadata: map[string]string{"b": "2", "a": "1"}},
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "user.email", Description: "is no address", Reason: "INVALID"}}},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(1500e6)},
			&errdetails.RequestInfo{RequestId: "request-1"},
			&grpc_testing.Payload{Body: []byte("detail")},
		)
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	user := ""
	if v := md.Get("x-user"); len(v) > 0 {
		user = v[0]
	}
	return &grpc_testing.SimpleResponse{Payload: r.GetPayload(), Username: user}, nil
}

func (*interop) StreamingOutputCall(r *grpc_testing.StreamingOutputCallRequest, s grpc_testing.TestService_StreamingOutputCallServer) error {
	for _, p := range r.GetResponseParameters() {
		if p.GetIntervalUs() > 0 { // a stream that falls silent
			<-s.Context().Done()
			return s.Context().Err()
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: &grpc_testing.Payload{Body: make([]byte, p.GetSize())}}); err != nil {
			return err
		}
	}
	return nil
}

func (*interop) StreamingInputCall(s grpc_testing.TestService_StreamingInputCallServer) error {
	var n int32
	for {
		_, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return s.SendAndClose(&grpc_testing.StreamingInputCallResponse{AggregatedPayloadSize: n})
		}
		if err != nil {
			return err
		}
		n++
	}
}

func (*interop) FullDuplexCall(s grpc_testing.TestService_FullDuplexCallServer) error {
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if r.GetResponseStatus().GetCode() != 0 {
			return status.Error(codes.Code(r.GetResponseStatus().GetCode()), r.GetResponseStatus().GetMessage()) //nolint:gosec // codes are small
		}
		if err := s.Send(&grpc_testing.StreamingOutputCallResponse{Payload: r.GetPayload()}); err != nil {
			return err
		}
	}
}
