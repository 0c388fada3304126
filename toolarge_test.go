package keelson_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

const kib = 1 << 10

// sized answers each request with as many bytes as it asks for.
func sized() *stub {
	answer := func(n int32) *testpb.Payload { return &testpb.Payload{Body: make([]byte, n)} }
	return &stub{
		unary: func(_ context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{Payload: answer(in.GetResponseSize())}, nil
		},
		output: func(in *testpb.StreamingOutputCallRequest, ss testpb.TestService_StreamingOutputCallServer) error {
			return ss.Send(&testpb.StreamingOutputCallResponse{Payload: answer(in.GetResponseParameters()[0].GetSize())})
		},
		input: func(ss testpb.TestService_StreamingInputCallServer) error {
			_, err := ss.Recv()
			return err
		},
		duplex: func(ss testpb.TestService_FullDuplexCallServer) error {
			in, err := ss.Recv()
			if err != nil {
				return err
			}
			return ss.Send(&testpb.StreamingOutputCallResponse{Payload: answer(in.GetResponseParameters()[0].GetSize())})
		},
	}
}

// exchange makes a call with a request and an answer of so many bytes.
func exchange(ctx context.Context, conn *grpc.ClientConn, method string, request, answer int, opts ...grpc.CallOption) error {
	c := testpb.NewTestServiceClient(conn)
	payload := &testpb.Payload{Body: make([]byte, request)}
	out := &testpb.StreamingOutputCallRequest{Payload: payload, ResponseParameters: []*testpb.ResponseParameters{{Size: int32(answer)}}}
	switch method {
	case unaryCall:
		_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload, ResponseSize: int32(answer)}, opts...)
		return err
	case outputCall:
		s, err := c.StreamingOutputCall(ctx, out, opts...)
		return drainStream(err, func() error { _, err := s.Recv(); return err })
	case inputCall:
		s, err := c.StreamingInputCall(ctx, opts...)
		if err != nil {
			return err
		}
		if err := s.Send(&testpb.StreamingInputCallRequest{Payload: payload}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = s.CloseAndRecv()
		return err
	default:
		s, err := c.FullDuplexCall(ctx, opts...)
		if err != nil {
			return err
		}
		if err := s.Send(out); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		return drainStream(s.CloseSend(), func() error { _, err := s.Recv(); return err })
	}
}

func TestWhatIsTooLargeSaysSo(t *testing.T) {
	cfg := keelson.Config{
		GRPC:   keelson.GRPCConfig{MaxReceive: 4 * kib, MaxSend: 64 * kib},
		Client: keelson.ClientConfig{MaxReceive: 4 * kib, MaxSend: 8 * kib},
	}
	for _, tc := range []struct {
		name            string
		request, answer int
		reason, domain  string
		opts            []grpc.CallOption
	}{
		{name: "a request that the server does not take", request: 5 * kib, reason: errs.ReasonRequestTooLarge, domain: "test"},
		{name: "a request that has grown", request: 5 * kib, reason: errs.ReasonRequestTooLarge, domain: "test", opts: []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
		{name: "a request that the client does not send", request: 9 * kib, reason: errs.ReasonRequestTooLarge},
		{name: "an answer that the client does not take", answer: 5 * kib, reason: errs.ReasonResponseTooLarge},
		{name: "an answer that has grown", answer: 5 * kib, reason: errs.ReasonResponseTooLarge, opts: []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			conn := keelsontest.Serve(t, sized().register, keelsontest.WithConfig(cfg))
			for _, method := range []string{unaryCall, outputCall, inputCall, duplexCall} {
				if method == inputCall && tc.answer > 0 {
					continue
				}
				e := errs.From(exchange(bounded(t), conn, method, tc.request, tc.answer, tc.opts...))
				if e.Code() != codes.ResourceExhausted || e.Reason() != tc.reason || e.Remote() != (tc.domain != "") {
					t.Errorf("%s: %v, remote %t", method, e, e.Remote())
				}
				if tc.domain != "" && (e.Domain() == "" || e.RequestID() == "") {
					t.Errorf("%s: the domain is %q, the correlation ID %q", method, e.Domain(), e.RequestID())
				}
				if e.Meta("max_bytes") == "" {
					t.Errorf("%s: nobody says how large it may be", method)
				}
			}
		})
	}
}

// A handler that overlooks the error does not make a success of the call.
func TestAMessageThatIsTooLargeEndsTheCallWhateverItsHandlerDoes(t *testing.T) {
	var log logBuffer
	conn, drain := keelsontest.Start(t, (&stub{duplex: func(ss testpb.TestService_FullDuplexCallServer) error {
		_, _ = ss.Recv()
		_, _ = ss.Recv()
		return nil
	}}).register, keelsontest.WithLog(&log), keelsontest.WithConfig(keelson.Config{GRPC: keelson.GRPCConfig{MaxReceive: kib}}))
	if err := exchange(bounded(t), conn, duplexCall, 2*kib, 0); errs.Reason(err) != errs.ReasonRequestTooLarge {
		t.Errorf("got %v", err)
	}
	if err := drain(); err != nil {
		t.Fatal(err)
	}
	for _, line := range log.calls(t, "server_call") {
		if line["grpc.code"] != "RESOURCE_EXHAUSTED" {
			t.Errorf("logged as %v", line["grpc.code"])
		}
	}
}

// What a server of somebody else says of sizes is passed on as it is.
func TestWhatAnotherServerSaysOfSizesStays(t *testing.T) {
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(4*kib), grpc.MaxSendMsgSize(4*kib))
	testpb.RegisterTestServiceServer(server, sized())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	client, err := keelson.NewClient("caller", keelson.Config{Client: keelson.ClientConfig{MaxReceive: 4 * kib}}, keelson.WithLogOutput(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	conn, err := client.Dial("passthrough:///other", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{unaryCall, outputCall, inputCall, duplexCall} {
		for name, size := range map[string][2]int{"request": {5 * kib, 0}, "answer": {0, 5 * kib}} {
			if method == inputCall && size[1] > 0 {
				continue
			}
			e := errs.From(exchange(bounded(t), conn, method, size[0], size[1]))
			if e.Code() != codes.ResourceExhausted || e.Reason() != "" || !e.Remote() {
				t.Errorf("%s, %s: %v, remote %t", method, name, e, e.Remote())
			}
		}
	}
}
