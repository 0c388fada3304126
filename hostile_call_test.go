package keelson_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

// fragile is an error that cannot be looked at when it is nil.
type fragile struct{ text string }

func (f *fragile) Error() string { return f.text }

func TestWhateverAHandlerDoesTheProcessLivesOn(t *testing.T) {
	breaking := keelson.WithErrors(func(err error) *errs.Error {
		if err.Error() == "break the classifier" {
			panic("a classifier")
		}
		return nil
	})
	var none *fragile
	for name, do := range map[string]func(ctx context.Context) error{
		"panics with nil":           func(context.Context) error { panic(nil) }, //nolint:govet // the case
		"typed nil error":           func(context.Context) error { return none },
		"wrapped typed nil error":   func(context.Context) error { return errors.Join(errors.New("a"), none) },
		"breaks the classifier":     func(context.Context) error { return errors.New("break the classifier") },
		"ends its goroutine":        func(context.Context) error { runtime.Goexit(); return nil },
		"an error of the code OK":   func(context.Context) error { return okError{} },
		"an error of an odd code":   func(context.Context) error { return status.Error(codes.Code(4711), "odd") },
		"joined with a typed error": func(context.Context) error { return errors.Join(io.EOF, okError{}) },
	} {
		for _, method := range allKinds {
			t.Run(name+method, func(t *testing.T) {
				var log logBuffer
				conn, drain := keelsontest.Start(t, behaving(do).register, keelsontest.WithServiceOptions(breaking), keelsontest.WithLog(&log))
				err := invoke(bounded(t), conn, method)
				if code := status.Code(err); code != codes.Internal && code != codes.Unknown && code != codes.Unavailable {
					t.Errorf("got %v", err)
				}
				if strings.Contains(err.Error(), "classifier") {
					t.Errorf("the cause went over the wire: %v", err)
				}
				if err := drain(); err != nil {
					t.Fatal(err)
				}
				if n := len(log.calls(t, "server_call")); n != 1 {
					t.Errorf("%d lines for one call", n)
				}
			})
		}
	}
}

// okError is an error that says it is none.
type okError struct{}

func (okError) Error() string              { return "all is well" }
func (okError) GRPCStatus() *status.Status { return status.New(codes.OK, "") }

func TestAnswersThatDoNotEncodeAreErrors(t *testing.T) {
	for name, answer := range map[string]*testpb.SimpleResponse{
		"invalid UTF-8": {Username: "\xff\xfe"},
	} {
		t.Run(name, func(t *testing.T) {
			conn := keelsontest.Serve(t, (&stub{unary: func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) { return answer, nil }}).register)
			err := invoke(bounded(t), conn, unaryCall)
			if status.Code(err) != codes.Internal {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhatADependencySaidIsNotWhatTheServiceSays(t *testing.T) {
	for _, tc := range []struct {
		behind *errs.Error
		want   codes.Code
	}{
		{errs.NotFound("ROW_NOT_FOUND", "no row"), codes.Internal},
		{errs.PermissionDenied("NOT_YOU", "not you"), codes.Internal},
		{errs.Unauthenticated("WHO", "who"), codes.Internal},
		{errs.Unavailable("AWAY", "away"), codes.Unavailable},
		{errs.ResourceExhausted("FULL", "full"), codes.ResourceExhausted},
		{errs.DeadlineExceeded("SLOW", "slow"), codes.DeadlineExceeded},
	} {
		t.Run(tc.behind.Reason(), func(t *testing.T) {
			backend := keelsontest.Serve(t, behaving(func(context.Context) error { return tc.behind }).register)
			for _, method := range allKinds {
				front := keelsontest.Serve(t, behaving(func(ctx context.Context) error { return invoke(ctx, backend, method) }).register)
				if err := invoke(bounded(t), front, unaryCall); status.Code(err) != tc.want {
					t.Errorf("%s: got %v, want %v", method, err, tc.want)
				}
			}
		})
	}
}

func TestErrorsThatAreTooLargeStillArrive(t *testing.T) {
	for name, text := range map[string]string{"ASCII": strings.Repeat("x", 64<<10), "not ASCII": strings.Repeat("ü漢", 16<<10), "no UTF-8": strings.Repeat("\xff\x00", 8<<10)} {
		t.Run(name, func(t *testing.T) {
			big := errs.FailedPrecondition("TOO_MUCH", "%s", text).With(errs.Meta("more", text), errs.Field(text, "BAD", text), errs.Quota(text, text))
			conn := keelsontest.Serve(t, behaving(func(context.Context) error { return big }).register)
			for _, method := range allKinds {
				if err := invoke(bounded(t), conn, method); errs.Reason(err) != "TOO_MUCH" || status.Code(err) != codes.FailedPrecondition {
					t.Errorf("%s: %.200v", method, err)
				}
			}
		})
	}
}

func TestHeadersHaveALimit(t *testing.T) {
	called := 0
	conn := keelsontest.Serve(t, behaving(func(context.Context) error { called++; return nil }).register)
	ctx := metadata.AppendToOutgoingContext(bounded(t), "x-big", strings.Repeat("a", 20<<10))
	if err := invoke(ctx, conn, unaryCall); err == nil || called > 0 {
		t.Errorf("20 KiB of headers: %v, called %d times", err, called)
	}
	if err := invoke(bounded(t), conn, unaryCall); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	wait, entered, release := deaf(t)
	conn := keelsontest.Serve(t, behaving(func(context.Context) error { wait(); return nil }).register, keelsontest.WithConfig(keelson.Config{GRPC: keelson.GRPCConfig{MaxStreams: 2}}))
	ended := make(chan error, 2)
	ctx := bounded(t)
	for range 2 {
		go func() { ended <- invoke(ctx, conn, unaryCall) }()
	}
	<-entered
	select {
	case <-entered:
		t.Error("a second stream was let in beside the first")
	case <-time.After(50 * time.Millisecond):
	}
	release()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestAConnectionThatSaysNothingIsCut(t *testing.T) {
	cfg := keelson.Config{Ops: keelson.OpsConfig{Address: "off"}, Debug: keelson.DebugConfig{Address: "off"}, GRPC: keelson.GRPCConfig{HandshakeTimeout: 100 * time.Millisecond}}
	address, _, ended, cancel := runTCP(t, cfg, io.Discard)
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Errorf("the connection was still open: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func TestTheServiceIsStillServingWhileUsersInterceptorsPanic(t *testing.T) {
	conn := keelsontest.Serve(t, behaving(func(context.Context) error { return nil }).register,
		keelsontest.WithServiceOptions(
			keelson.WithUnaryInterceptors(func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) { panic("unary") }),
			keelson.WithStreamInterceptors(func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error { panic("stream") })))
	for _, method := range allKinds {
		if err := invoke(bounded(t), conn, method); errs.Reason(err) != errs.ReasonPanic {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestAFloodOfUnknownMethodsMakesNoSeries(t *testing.T) {
	var s *keelson.Service
	conn := keelsontest.Serve(t, func(k *keelson.Service) {
		s = k
		behaving(func(context.Context) error { return nil }).register(k)
	})
	series := func() (n int) {
		families, err := s.Registerer().(prometheus.Gatherer).Gather()
		must(t, err)
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "grpc_server_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	flood := func(from string) {
		for i := range 200 {
			err := conn.Invoke(bounded(t), fmt.Sprintf("/%s.v%d.S/M%d", from, i, i), &testpb.Empty{}, &testpb.Empty{})
			if status.Code(err) != codes.Unimplemented {
				t.Fatal(err)
			}
		}
	}
	flood("first")
	before := series()
	flood("second")
	if after := series(); after != before {
		t.Errorf("%d series became %d", before, after)
	}
}
