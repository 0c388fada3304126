package keelson_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/policy"
)

// stub is a service with one method of each kind, made of function fields.
type stub struct {
	testpb.UnimplementedTestServiceServer
	empty  func(ctx context.Context) error
	unary  func(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error)
	output func(in *testpb.StreamingOutputCallRequest, ss testpb.TestService_StreamingOutputCallServer) error
	input  func(ss testpb.TestService_StreamingInputCallServer) error
	duplex func(ss testpb.TestService_FullDuplexCallServer) error
}

func (s *stub) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, s.empty(ctx)
}

func (s *stub) UnaryCall(ctx context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	return s.unary(ctx, in)
}

func (s *stub) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, ss testpb.TestService_StreamingOutputCallServer) error {
	return s.output(in, ss)
}

func (s *stub) StreamingInputCall(ss testpb.TestService_StreamingInputCallServer) error {
	return s.input(ss)
}

func (s *stub) FullDuplexCall(ss testpb.TestService_FullDuplexCallServer) error { return s.duplex(ss) }

const (
	emptyCall  = "/grpc.testing.TestService/EmptyCall"
	unaryCall  = "/grpc.testing.TestService/UnaryCall"
	outputCall = "/grpc.testing.TestService/StreamingOutputCall"
	inputCall  = "/grpc.testing.TestService/StreamingInputCall"
	duplexCall = "/grpc.testing.TestService/FullDuplexCall"
)

func (s *stub) register(k *keelson.Service) { testpb.RegisterTestServiceServer(k, s) }

// logBuffer takes log lines from several goroutines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// lines returns the JSON lines of one side's calls.
func (b *logBuffer) calls(t *testing.T, action string) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []map[string]any
	for line := range strings.Lines(b.buf.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("not a JSON line: %q", line)
		}
		if v["event.action"] == action {
			found = append(found, v)
		}
	}
	return found
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// invoke makes one call of a kind and returns how it ended.
func invoke(ctx context.Context, conn *grpc.ClientConn, method string, opts ...grpc.CallOption) error {
	c := testpb.NewTestServiceClient(conn)
	switch method {
	case emptyCall:
		_, err := c.EmptyCall(ctx, &testpb.Empty{}, opts...)
		return err
	case unaryCall:
		_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}, opts...)
		return err
	case outputCall:
		s, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{}, opts...)
		return drainStream(err, func() error { _, err := s.Recv(); return err })
	case inputCall:
		s, err := c.StreamingInputCall(ctx, opts...)
		if err != nil {
			return err
		}
		_, err = s.CloseAndRecv()
		return err
	default:
		s, err := c.FullDuplexCall(ctx, opts...)
		if err != nil {
			return err
		}
		_ = s.CloseSend()
		return drainStream(nil, func() error { _, err := s.Recv(); return err })
	}
}

func drainStream(err error, recv func() error) error {
	for err == nil {
		err = recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// behaving answers every kind with what f returns.
func behaving(f func(ctx context.Context) error) *stub {
	return &stub{
		empty: f,
		unary: func(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
			return &testpb.SimpleResponse{}, f(ctx)
		},
		output: func(_ *testpb.StreamingOutputCallRequest, ss testpb.TestService_StreamingOutputCallServer) error {
			return f(ss.Context())
		},
		input: func(ss testpb.TestService_StreamingInputCallServer) error {
			if err := f(ss.Context()); err != nil {
				return err
			}
			return ss.SendAndClose(&testpb.StreamingInputCallResponse{})
		},
		duplex: func(ss testpb.TestService_FullDuplexCallServer) error { return f(ss.Context()) },
	}
}

var allKinds = []string{unaryCall, outputCall, inputCall, duplexCall}

func TestEveryKindOfCallIsAccountedForAlike(t *testing.T) {
	for _, method := range allKinds {
		for _, tc := range []struct {
			name   string
			do     func(ctx context.Context) error
			code   codes.Code
			reason string
		}{
			{"ok", func(context.Context) error { return nil }, codes.OK, ""},
			{"domain error", func(context.Context) error { return errs.NotFound("THING_NOT_FOUND", "there is no thing") }, codes.NotFound, "THING_NOT_FOUND"},
			{"unknown error", func(context.Context) error { return errors.New("password is hunter2") }, codes.Internal, errs.ReasonInternal},
			{"panic", func(context.Context) error { panic("boom") }, codes.Internal, errs.ReasonPanic},
			{"plain status", func(context.Context) error { return status.Error(codes.FailedPrecondition, "not now") }, codes.FailedPrecondition, ""},
		} {
			t.Run(method+"/"+tc.name, func(t *testing.T) {
				var logs logBuffer
				conn, drain := keelsontest.Start(t, behaving(tc.do).register, keelsontest.WithLog(&logs))
				var trailer metadata.MD
				ctx := metadata.AppendToOutgoingContext(bounded(t), call.CorrelationKey, "order-17")
				err := invoke(ctx, conn, method, grpc.Trailer(&trailer))
				if status.Code(err) != tc.code {
					t.Fatalf("got %v, want %v", err, tc.code)
				}
				if tc.reason != "" && errs.Reason(err) != tc.reason {
					t.Errorf("reason %q, want %q", errs.Reason(err), tc.reason)
				}
				if err != nil && strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the cause went over the wire: %v", err)
				}
				if got := trailer.Get(call.CorrelationKey); len(got) != 1 || got[0] != "order-17" {
					t.Errorf("correlation ID in the trailer: %q", got)
				}
				if err := drain(); err != nil {
					t.Fatal(err)
				}
				lines := logs.calls(t, "server_call")
				if len(lines) != 1 {
					t.Fatalf("%d lines for one call: %v", len(lines), lines)
				}
				if got := lines[0]["labels.correlation_id"]; got != "order-17" {
					t.Errorf("the line has correlation ID %v: %v", got, lines[0])
				}
			})
		}
	}
}

func TestACallIsInTheHandlersContext(t *testing.T) {
	for _, method := range allKinds {
		t.Run(method, func(t *testing.T) {
			var seen *call.Call
			conn := keelsontest.Serve(t, behaving(func(ctx context.Context) error {
				seen = call.From(ctx)
				if keelson.Draining(ctx) == nil {
					return errors.New("no drain signal")
				}
				return nil
			}).register)
			if err := invoke(bounded(t), conn, method); err != nil {
				t.Fatal(err)
			}
			if seen == nil || seen.Method.FullName != method || !call.ValidCorrelationID(seen.CorrelationID) || !seen.SpanContext.IsValid() {
				t.Errorf("record %+v", seen)
			}
		})
	}
}

func TestTheServerCapsAndDefaultsDeadlines(t *testing.T) {
	cfg := keelson.Config{Methods: []policy.Override{{Method: unaryCall, Timeout: 8 * time.Second}}}
	for _, tc := range []struct {
		name   string
		asks   time.Duration
		most   time.Duration
		source string
	}{
		{"none asked", 0, 8 * time.Second, "code"},
		{"more asked", 15 * time.Second, 8 * time.Second, "code"},
		{"less asked", 5 * time.Second, 5 * time.Second, "caller"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var left time.Duration
			var record call.Call
			conn := keelsontest.Serve(t, behaving(func(ctx context.Context) error {
				d, _ := ctx.Deadline()
				left = time.Until(d)
				record.TimeoutSource = call.From(ctx).TimeoutSource
				return nil
			}).register, keelsontest.WithConfig(cfg))
			ctx := bounded(t)
			if tc.asks > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tc.asks)
				defer cancel()
			}
			// A client without the chassis: the server is on its own.
			if err := plainInvoke(ctx, conn); err != nil {
				t.Fatal(err)
			}
			if left <= 0 || left > tc.most {
				t.Errorf("the handler had %v, want at most %v", left, tc.most)
			}
		})
	}
}

// plainInvoke calls through the connection.
func plainInvoke(ctx context.Context, conn *grpc.ClientConn) error {
	return conn.Invoke(ctx, unaryCall, &testpb.SimpleRequest{}, &testpb.SimpleResponse{})
}

func TestADeadlineSaysHowLongItWasAndWhoSetIt(t *testing.T) {
	cfg := keelson.Config{Methods: []policy.Override{{Method: unaryCall, Timeout: 50 * time.Millisecond, RetryAttempts: 1}}}
	conn := keelsontest.Serve(t, behaving(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }).register, keelsontest.WithConfig(cfg))
	err := invoke(bounded(t), conn, unaryCall)
	e := errs.From(err)
	if e.Code() != codes.DeadlineExceeded || e.Meta("deadline") != "50ms" || e.Meta("deadline_source") != "code" {
		t.Errorf("got %v with deadline %q from %q", err, e.Meta("deadline"), e.Meta("deadline_source"))
	}
	if !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("%v", err)
	}
}

func TestUnknownMethodsAreOneMethod(t *testing.T) {
	var logs logBuffer
	conn, drain := keelsontest.Start(t, behaving(func(context.Context) error { return nil }).register, keelsontest.WithLog(&logs))
	for _, name := range []string{"/made.up/One", "/made.up/Two", "/grpc.testing.TestService/Nope"} {
		err := conn.Invoke(bounded(t), name, &testpb.Empty{}, &testpb.Empty{})
		if status.Code(err) != codes.Unimplemented || errs.Reason(err) != errs.ReasonMethodUnknown {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := drain(); err != nil {
		t.Fatal(err)
	}
	if lines := logs.calls(t, "server_call"); len(lines) != 3 {
		t.Errorf("%d lines, want 3", len(lines))
	}
}

func TestMessagesThatDoNotFitAreAccountedFor(t *testing.T) {
	var logs logBuffer
	conn, drain := keelsontest.Start(t, (&stub{unary: func(_ context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return &testpb.SimpleResponse{Payload: &testpb.Payload{Body: make([]byte, in.GetResponseSize())}}, nil
	}}).register, keelsontest.WithLog(&logs), keelsontest.WithConfig(keelson.Config{GRPC: keelson.GRPCConfig{MaxReceive: 1 << 10, MaxSend: 2 << 10}}))
	c := testpb.NewTestServiceClient(conn)
	for name, in := range map[string]*testpb.SimpleRequest{
		"request": {Payload: &testpb.Payload{Body: make([]byte, 4<<10)}},
		"answer":  {ResponseSize: 4 << 10},
	} {
		if _, err := c.UnaryCall(bounded(t), in); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := drain(); err != nil {
		t.Fatal(err)
	}
	for _, line := range logs.calls(t, "server_call") {
		if line["rpc.grpc.status_code"] == float64(0) {
			t.Errorf("logged as a success: %v", line)
		}
	}
	if n := len(logs.calls(t, "server_call")); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
}

func TestCallsAcceptedBeforeTheDrainGetTheirAnswer(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	conn, drain := keelsontest.Start(t, behaving(func(context.Context) error {
		close(entered)
		<-leave
		return nil
	}).register)
	answer, ended := make(chan error, 1), make(chan error, 1)
	ctx := bounded(t)
	go func() { answer <- invoke(ctx, conn, unaryCall) }()
	<-entered
	go func() { ended <- drain() }()
	// The drain has begun when the instance says NOT_SERVING to new calls.
	select {
	case err := <-ended:
		t.Fatalf("the drain did not wait for the call: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if err := <-answer; err != nil {
		t.Errorf("the accepted call ended with %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestStreamsEndWithDrainingAndTheirToken(t *testing.T) {
	for name, s := range map[string]*stub{
		"handler heeds the signal": {duplex: func(ss testpb.TestService_FullDuplexCallServer) error {
			if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			<-keelson.Draining(ss.Context())
			return errs.Draining("token-9")
		}},
		"handler waits for its context": {duplex: func(ss testpb.TestService_FullDuplexCallServer) error {
			if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			<-ss.Context().Done()
			return ss.Context().Err()
		}},
		"handler waits for its client": {duplex: func(ss testpb.TestService_FullDuplexCallServer) error {
			if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			_, err := ss.Recv()
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, drain := keelsontest.Start(t, s.register, keelsontest.WithConfig(keelson.Config{Drain: keelson.DrainConfig{Streams: 600 * time.Millisecond}}))
			cs, err := testpb.NewTestServiceClient(conn).FullDuplexCall(bounded(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cs.Recv(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- drain() }()
			_, err = cs.Recv()
			if status.Code(err) != codes.Unavailable || errs.Reason(err) != errs.ReasonDraining {
				t.Errorf("the stream ended with %v, reason %q", err, errs.Reason(err))
			}
			if token, _ := errs.ResumeToken(err); name == "handler heeds the signal" && token != "token-9" {
				t.Errorf("resume token %q", token)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnIdleStreamIsEnded(t *testing.T) {
	cfg := keelson.Config{Methods: []policy.Override{{Method: duplexCall, IdleTimeout: 50 * time.Millisecond}}}
	conn := keelsontest.Serve(t, (&stub{duplex: func(ss testpb.TestService_FullDuplexCallServer) error {
		_, err := ss.Recv()
		return err
	}}).register, keelsontest.WithConfig(cfg))
	cs, err := testpb.NewTestServiceClient(conn).FullDuplexCall(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = cs.Recv(); errs.Reason(err) != errs.ReasonStreamIdle {
		t.Errorf("ended with %v", err)
	}
}

func TestUsersInterceptorsRunInsideInOrder(t *testing.T) {
	var order []string
	note := func(name string) keelson.Option {
		return keelson.WithUnaryInterceptors(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			order = append(order, name)
			if call.From(ctx) == nil {
				t.Error("no record in an interceptor")
			}
			return h(ctx, req)
		})
	}
	conn := keelsontest.Serve(t, behaving(func(context.Context) error { order = append(order, "handler"); return nil }).register,
		keelsontest.WithServiceOptions(note("first"), note("second"), note("third")))
	if err := invoke(bounded(t), conn, unaryCall); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, " "); got != "first second third handler" {
		t.Errorf("order %q", got)
	}
}

func TestFaultsOfRegistrationAreReportedByRun(t *testing.T) {
	s, err := keelson.New("test", keelson.Config{GRPC: keelson.GRPCConfig{Address: "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	s.RegisterService(&testpb.TestService_ServiceDesc, struct{}{})
	testpb.RegisterTestServiceServer(s, &stub{})
	testpb.RegisterTestServiceServer(s, &stub{})
	err = s.Run(bounded(t))
	for _, want := range []string{"does not implement", "registered already"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run: %v; want %q in it", err, want)
		}
	}
}

func TestADrainThatCutsOffCallsIsRejected(t *testing.T) {
	s, err := keelson.New("test", keelson.Config{Methods: []policy.Override{{Method: unaryCall, Timeout: time.Hour}}})
	if err != nil {
		t.Fatal(err)
	}
	testpb.RegisterTestServiceServer(s, &stub{})
	if err := s.Run(bounded(t)); err == nil || !strings.Contains(err.Error(), "raise drain.calls") {
		t.Errorf("Run: %v", err)
	}
}

func TestPlaintextOffLoopbackIsRefused(t *testing.T) {
	if _, err := keelson.New("test", keelson.Config{GRPC: keelson.GRPCConfig{Address: "0.0.0.0:0"}}); err == nil || !strings.Contains(err.Error(), "insecure: true") {
		t.Errorf("New: %v", err)
	}
	c, err := keelson.NewClient("test", keelson.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Dial("192.0.2.1:443"); err == nil || !strings.Contains(err.Error(), "insecure: true") {
		t.Errorf("Dial: %v", err)
	}
}
