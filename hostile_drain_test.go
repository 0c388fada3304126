package keelson_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/lifecycle"
	"github.com/keelson-dev/keelson/policy"
)

// deaf returns a function that ignores everything until the test releases it.
func deaf(t *testing.T) (wait func(), entered <-chan struct{}, release func()) {
	t.Helper()
	in, out := make(chan struct{}, 16), make(chan struct{})
	return func() { in <- struct{}{}; <-out }, in, func() { close(out) }
}

var shortStreams = keelsontest.WithConfig(keelson.Config{Drain: keelson.DrainConfig{Streams: 600 * time.Millisecond}})

func TestAStreamWhoseHandlerIsDeafToTheDrainStillHearsDraining(t *testing.T) {
	for _, method := range []string{outputCall, inputCall, duplexCall} {
		t.Run(method, func(t *testing.T) {
			wait, entered, release := deaf(t)
			conn, drain := keelsontest.Start(t, behaving(func(context.Context) error { wait(); return nil }).register, shortStreams)
			answered := make(chan error, 1)
			ctx := bounded(t)
			go func() { answered <- invoke(ctx, conn, method) }()
			<-entered
			drained := make(chan error, 1)
			go func() { drained <- drain() }()
			if err := <-answered; status.Code(err) != codes.Unavailable || errs.Reason(err) != errs.ReasonDraining {
				t.Errorf("the stream ended with %v", err)
			}
			release()
			if err := <-drained; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAStreamWhoseClientDoesNotReadEndsWithTheDrain(t *testing.T) {
	full := make(chan struct{})
	sent := make(chan error, 1)
	body := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, 256<<10)}}
	conn, drain := keelsontest.Start(t, (&stub{output: func(_ *testpb.StreamingOutputCallRequest, ss testpb.TestService_StreamingOutputCallServer) error {
		time.AfterFunc(50*time.Millisecond, func() { close(full) })
		for {
			if err := ss.Send(body); err != nil {
				sent <- err
				return err
			}
		}
	}}).register, shortStreams)
	cs, err := testpb.NewTestServiceClient(conn).StreamingOutputCall(bounded(t), &testpb.StreamingOutputCallRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-full
	ended := make(chan error, 1)
	go func() { ended <- drain() }()
	if err := <-sent; errs.Reason(err) != errs.ReasonDraining {
		t.Errorf("the blocked Send ended with %v", err)
	}
	for err == nil {
		_, err = cs.Recv()
	}
	if errs.Reason(err) != errs.ReasonDraining {
		t.Errorf("the client read to the end and got %v", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAHandlerThatNeverEndsIsNamedAndDoesNotHoldUpTheEnd(t *testing.T) {
	wait, entered, release := deaf(t)
	defer release()
	cfg := keelson.Config{
		GRPC: keelson.GRPCConfig{Address: "127.0.0.1:0"}, Ops: keelson.OpsConfig{Address: "off"}, Debug: keelson.DebugConfig{Address: "off"},
		Drain: keelson.DrainConfig{
			Propagation: time.Millisecond, Quiet: time.Millisecond, Streams: time.Millisecond, Calls: 50 * time.Millisecond, Stop: 100 * time.Millisecond,
		},
		Policy: keelson.PolicyConfig{Timeout: 50 * time.Millisecond},
	}
	address, _, ended, cancel := runImpl(t, cfg, io.Discard, behaving(func(context.Context) error { wait(); return nil }))
	client, err := keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	must(t, err)
	defer client.Close()
	conn, err := client.Dial(address)
	must(t, err)
	answered := make(chan error, 1)
	ctx := bounded(t)
	go func() { answered <- invoke(ctx, conn, unaryCall) }()
	<-entered
	cancel()
	err = <-ended
	var left *lifecycle.LeftoverError
	if !errors.As(err, &left) || !strings.Contains(err.Error(), unaryCall) {
		t.Errorf("Run: %v; want it to name %s", err, unaryCall)
	}
	if err := <-answered; err == nil {
		t.Error("the call that never ends succeeded")
	}
}

func TestADeafHandlerIsAnsweredForAtTheServersDeadline(t *testing.T) {
	for _, method := range []string{unaryCall, outputCall} {
		t.Run(method, func(t *testing.T) {
			wait, _, release := deaf(t)
			conn := plainConn(t, method, behaving(func(context.Context) error { wait(); return nil }))
			err := invoke(context.WithoutCancel(t.Context()), conn, method)
			release()
			e := errs.From(err)
			if e.Code() != codes.DeadlineExceeded || e.Meta("deadline_side") != "server" || e.Meta("deadline") != "30ms" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestARequestThatNeverComesEndsWithTheMethodsDeadline(t *testing.T) {
	for _, method := range []string{unaryCall, outputCall} {
		t.Run(method, func(t *testing.T) {
			conn := plainConn(t, method, behaving(func(context.Context) error { return nil }))
			cs, err := conn.NewStream(context.WithoutCancel(t.Context()), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			must(t, err)
			if err := cs.RecvMsg(&testpb.SimpleResponse{}); errs.From(err).Meta("deadline_side") != "server" {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// plainConn is a connection without the chassis, to a service that gives a method
// 30 ms.
func plainConn(t *testing.T, method string, impl testpb.TestServiceServer) *grpc.ClientConn {
	t.Helper()
	cfg := keelson.Config{
		Ops: keelson.OpsConfig{Address: "off"}, Debug: keelson.DebugConfig{Address: "off"},
		Drain:   keelson.DrainConfig{Propagation: time.Millisecond, Quiet: time.Millisecond},
		Methods: []policy.Override{{Method: method, Timeout: 30 * time.Millisecond}},
	}
	address, _, ended, cancel := runImpl(t, cfg, io.Discard, impl)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestACallWithTheLongestDeadlineOutlivesTheDrain(t *testing.T) {
	entered := make(chan struct{})
	cfg := keelson.Config{Policy: keelson.PolicyConfig{Timeout: time.Second}, Drain: keelson.DrainConfig{Calls: time.Second, Stop: time.Second}}
	impl := behaving(func(ctx context.Context) error { close(entered); <-ctx.Done(); return nil })
	impl.empty = func(context.Context) error { return nil }
	conn, drain := keelsontest.Start(t, impl.register, keelsontest.WithConfig(cfg))
	ctx := bounded(t)
	keelsontest.Eventually(t, "a connection, which is no part of the call's time", func() bool { return invoke(ctx, conn, emptyCall) == nil })
	answered := make(chan error, 1)
	go func() { answered <- invoke(ctx, conn, unaryCall) }()
	select {
	case <-entered:
	case err := <-answered:
		t.Fatalf("the call did not reach its handler: %v", err)
	}
	if err := drain(); err != nil {
		t.Error(err)
	}
	if err := <-answered; status.Code(err) == codes.Unavailable {
		t.Errorf("the drain cut off a call within its deadline: %v", err)
	}
}
