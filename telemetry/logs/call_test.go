package logs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// ended returns the record of a call that has ended.
func ended(side call.Side, kind policy.Kind, err error) *call.Call {
	c := &call.Call{
		Context: context.Background(), Side: side, Start: start, CorrelationID: "order-17",
		Method: policy.NewTable().AddMethod("user.v1.UserService", "GetUser", kind),
		Peer:   &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4123},
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{0xab, 15: 1}, SpanID: trace.SpanID{0xcd, 7: 2},
		}),
	}
	c.End(errs.Code(err), err, start.Add(1234567*time.Nanosecond))
	return c
}

func TestLineOfACall(t *testing.T) {
	common := map[string]any{
		"@timestamp": "2026-01-02T03:04:05.001234Z", "ecs.version": "8.17.0", "service.name": "user",
		"trace.id": "ab000000000000000000000000000001", "span.id": "cd00000000000002", "labels.correlation_id": "order-17",
		"rpc.service": "user.v1.UserService", "rpc.method": "GetUser", "event.duration": 1234567.0,
	}
	tests := []struct {
		name string
		give func() *call.Call
		want map[string]any
	}{
		{"unary at a server", func() *call.Call { return ended(call.Server, policy.Unary, nil) }, map[string]any{
			"log.level": "info", "message": "GetUser OK", "event.action": "server_call", "event.outcome": "success", "rpc.type": "unary",
			"rpc.grpc.status_code": 0.0, "grpc.code": "OK", "client.address": "10.0.0.7", "client.port": 4123.0,
		}},
		{"stream with a deadline", func() *call.Call {
			c := ended(call.Server, policy.BidiStream, nil)
			ctx, cancel := context.WithDeadline(context.Background(), start.Add(time.Second))
			t.Cleanup(cancel)
			c.Context = ctx
			c.Received.Store(3)
			c.Sent.Store(4)
			return c
		}, map[string]any{
			"log.level": "info", "message": "GetUser OK", "event.action": "server_call", "event.outcome": "success", "rpc.type": "bidi_stream",
			"rpc.grpc.status_code": 0.0, "grpc.code": "OK", "client.address": "10.0.0.7", "client.port": 4123.0,
			"keelson.deadline_left": 998765433.0, "keelson.messages.received": 3.0, "keelson.messages.sent": 4.0,
		}},
		{"failure with a reason", func() *call.Call {
			return ended(call.Server, policy.Unary, errs.Internal("STORE_BROKEN", "disk is full"))
		}, map[string]any{
			"log.level": "error", "message": "GetUser INTERNAL", "event.action": "server_call", "event.outcome": "failure", "rpc.type": "unary",
			"rpc.grpc.status_code": 13.0, "grpc.code": "INTERNAL", "client.address": "10.0.0.7", "client.port": 4123.0,
			"error.type": "STORE_BROKEN", "error.message": "INTERNAL STORE_BROKEN: disk is full",
		}},
		{"deadline at a client", func() *call.Call {
			c := ended(call.Client, policy.Unary, errs.DeadlineExceeded("TOO_SLOW", "late"))
			c.Target, c.Timeout, c.TimeoutSource = "user", time.Millisecond, "proto option"
			c.Attempts.Store(2)
			return c
		}, map[string]any{
			"log.level": "warn", "message": "GetUser DEADLINE_EXCEEDED", "event.action": "client_call", "event.outcome": "failure", "rpc.type": "unary",
			"rpc.grpc.status_code": 4.0, "grpc.code": "DEADLINE_EXCEEDED", "server.address": "10.0.0.7", "server.port": 4123.0,
			"labels.target": "user", "keelson.attempts": 2.0, "keelson.timeout": 1e6, "labels.timeout_source": "proto option",
			"error.type": "TOO_SLOW", "error.message": "DEADLINE_EXCEEDED TOO_SLOW: late",
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, close := newLog(t, logs.Config{Service: "user"})
			l.End(tc.give())
			if diff := cmp.Diff([]map[string]any{merge(common, tc.want)}, close()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFieldsListsWhatLinesHold(t *testing.T) {
	known := map[string]bool{}
	for _, f := range logs.Fields() {
		if f.Name == "" || f.Means == "" || f.On == "" || f.Type == "" || known[f.Name] {
			t.Errorf("field %+v is incomplete or there twice", f)
		}
		known[f.Name] = true
	}
	l, close := newLog(t, logs.Config{Service: "s", Version: "v", Instance: "i", Environment: "e"})
	for _, side := range []call.Side{call.Server, call.Client} {
		c := ended(side, policy.BidiStream, errs.DeadlineExceeded("X", "late"))
		ctx, cancel := context.WithDeadline(context.Background(), start)
		defer cancel()
		c.Context, c.Timeout, c.TimeoutSource, c.Target = ctx, time.Second, "caller", "user"
		l.End(c)
	}
	lost := ended(call.Server, policy.Unary, errs.Unimplemented("X", "no such method"))
	lost.Method = policy.NewTable().Unknown()
	lost.Context = grpc.NewContextWithServerTransportStream(context.Background(), transport("/evil/Method"))
	l.End(lost)
	seen := map[string]bool{"keelson.dropped_lines": true}
	for _, line := range close() {
		for k := range line {
			seen[k] = true
		}
	}
	if diff := cmp.Diff(known, seen); diff != "" {
		t.Errorf("Fields against what lines of calls hold: %s", diff)
	}
}

// transport is a server's transport stream that only knows its method.
type transport string

func (s transport) Method() string             { return string(s) }
func (transport) SetHeader(metadata.MD) error  { return nil }
func (transport) SendHeader(metadata.MD) error { return nil }
func (transport) SetTrailer(metadata.MD) error { return nil }

func TestTheReferenceListsEveryField(t *testing.T) {
	raw, err := os.ReadFile("../../docs/logs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range logs.Fields() {
		row := fmt.Sprintf("| `%s` | %s | %s | %s |\n", f.Name, f.Type, f.On, f.Means)
		if !strings.Contains(string(raw), row) {
			t.Errorf("docs/logs.md lacks the row\n%s", row)
		}
	}
	if got, want := strings.Count(string(raw), "\n| `"), len(logs.Fields()); got != want {
		t.Errorf("docs/logs.md has %d rows for %d fields", got, want)
	}
}

func TestLevelFollowsTheCode(t *testing.T) {
	tests := []struct {
		code codes.Code
		want slog.Level
	}{
		{codes.OK, slog.LevelInfo},
		{codes.Canceled, slog.LevelInfo},
		{codes.InvalidArgument, slog.LevelInfo},
		{codes.NotFound, slog.LevelInfo},
		{codes.AlreadyExists, slog.LevelInfo},
		{codes.FailedPrecondition, slog.LevelInfo},
		{codes.Aborted, slog.LevelInfo},
		{codes.OutOfRange, slog.LevelInfo},
		{codes.PermissionDenied, slog.LevelWarn},
		{codes.Unauthenticated, slog.LevelWarn},
		{codes.ResourceExhausted, slog.LevelWarn},
		{codes.Unimplemented, slog.LevelWarn},
		{codes.DeadlineExceeded, slog.LevelWarn},
		{codes.Unavailable, slog.LevelWarn},
		{codes.Unknown, slog.LevelError},
		{codes.Internal, slog.LevelError},
		{codes.DataLoss, slog.LevelError},
		{codes.Code(99), slog.LevelError},
	}
	for _, tc := range tests {
		t.Run(tc.code.String(), func(t *testing.T) {
			if got := logs.Level(tc.code); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

// late is a call whose caller's deadline passed, of a method with a policy of 10 s.
func late(side call.Side, timeout time.Duration) *call.Call {
	c := ended(side, policy.Unary, errs.DeadlineExceeded(errs.ReasonDeadlineExceeded, "late"))
	c.Timeout, c.TimeoutSource = timeout, "caller"
	return c
}

func TestWhichCallsAreLogged(t *testing.T) {
	health := ended(call.Server, policy.Unary, nil)
	health.Method = policy.NewTable().AddMethod("grpc.health.v1.Health", "Check", policy.Unary)
	tests := []struct {
		name string
		cfg  logs.Config
		give *call.Call
		want int
	}{
		{"success", logs.Config{}, ended(call.Server, policy.Unary, nil), 1},
		{"success above info", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.Unary, nil), 0},
		{"success not sampled", logs.Config{Sample: -1}, ended(call.Server, policy.Unary, nil), 0},
		{"failure not sampled", logs.Config{Sample: -1}, ended(call.Server, policy.Unary, errors.New("x")), 1},
		{"success at a client", logs.Config{}, ended(call.Client, policy.Unary, nil), 0},
		{"success at a client when debugging", logs.Config{Level: slog.LevelDebug}, ended(call.Client, policy.Unary, nil), 1},
		{"health check", logs.Config{}, health, 0},
		{"drained stream above info", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.BidiStream, errs.Draining("token")), 0},
		{"drained stream", logs.Config{}, ended(call.Server, policy.BidiStream, errs.Draining("token")), 1},
		{"message too large above info", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.Unary, errs.ResourceExhausted(errs.ReasonRequestTooLarge, "x")), 0},
		{"message too large at a client", logs.Config{Level: slog.LevelWarn}, ended(call.Client, policy.Unary, errs.ResourceExhausted(errs.ReasonRequestTooLarge, "x")), 1},
		{"too many messages above info", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.Unary, errs.New(codes.Unimplemented, errs.ReasonMessageCount, "x")), 0},
		{"no message above info", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.Unary, errs.New(codes.Internal, errs.ReasonMalformedMessage, "x")), 0},
		{"unknown method above info", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.Unary, errs.New(codes.Unimplemented, errs.ReasonMethodUnknown, "x")), 0},
		{"the caller's short deadline above info", logs.Config{Level: slog.LevelWarn}, late(call.Server, time.Second), 0},
		{"the same at a client", logs.Config{Level: slog.LevelWarn}, late(call.Client, time.Second), 0},
		{"a deadline that passed before the call", logs.Config{Level: slog.LevelWarn}, late(call.Server, -time.Second), 0},
		{"the deadline of the policy, which the caller sent", logs.Config{Level: slog.LevelWarn}, late(call.Server, 9900*time.Millisecond), 1},
		{"other exhaustion", logs.Config{Level: slog.LevelWarn}, ended(call.Server, policy.Unary, errs.ResourceExhausted(errs.ReasonRateLimited, "x")), 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, close := newLog(t, tc.cfg)
			l.End(tc.give)
			if got := len(close()); got != tc.want {
				t.Errorf("%d lines, want %d", got, tc.want)
			}
		})
	}
}

func TestSamplingTakesEffectAtOnceAndIsAFraction(t *testing.T) {
	l, close := newLog(t, logs.Config{Sample: -1})
	c := ended(call.Server, policy.Unary, nil)
	l.End(c)
	l.SetSample(0.25)
	for range 4000 {
		l.End(c)
	}
	if got := len(close()); got < 700 || got > 1300 {
		t.Errorf("%d lines of 4000 at 25 %%", got)
	}
}

func TestPeersOfOtherKinds(t *testing.T) {
	tests := []struct {
		name string
		give net.Addr
		want string
	}{
		{"IPv6", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1}, "fe80::1"},
		{"mapped IPv4", &net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.1"), Port: 1}, "10.0.0.1"},
		{"zone", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, "[fe80::1%eth0]:1"},
		{"no IP", &net.TCPAddr{Port: 1}, ":1"},
		{"socket", &net.UnixAddr{Name: "/run/x.sock", Net: "unix"}, "/run/x.sock"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, close := newLog(t, logs.Config{})
			c := ended(call.Server, policy.Unary, nil)
			c.Peer = tc.give
			l.End(c)
			if got := close()[0]["client.address"]; got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestSuccessesAreLoggedWithoutAllocating(t *testing.T) {
	sink, err := logs.NewSink(io.Discard, logs.SinkConfig{Buffer: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	l := logs.New(sink, logs.Config{Service: "user", Version: "1", Instance: "user-1"})
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	c := ended(call.Server, policy.Unary, nil)
	c.Context = ctx
	if n := testing.AllocsPerRun(2000, func() { l.End(c) }); n > 0.1 { // the buffer grows now and then
		t.Errorf("%v allocations per line", n)
	}
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkEnd(b *testing.B) {
	sink, err := logs.NewSink(io.Discard, logs.SinkConfig{})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- sink.Run(context.Background()) }()
	l := logs.New(sink, logs.Config{Service: "user", Version: "1", Instance: "user-1"})
	c := ended(call.Server, policy.Unary, nil)
	b.ReportAllocs()
	for b.Loop() {
		l.End(c)
	}
	_ = sink.Close()
	<-done
}
