package recovery_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/recovery"
)

type line struct {
	Level   string `json:"level"`
	Msg     string `json:"msg"`
	Type    string `json:"error.type"`
	Message string `json:"error.message"`
	Stack   string `json:"error.stack_trace"`
}

// logged returns a logger and what it wrote.
func logged(t *testing.T) (*slog.Logger, func() []line) {
	t.Helper()
	var buf bytes.Buffer
	return slog.New(slog.NewJSONHandler(&buf, nil)), func() (lines []line) {
		t.Helper()
		for d := json.NewDecoder(&buf); d.More(); {
			var l line
			if err := d.Decode(&l); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, l)
		}
		return lines
	}
}

type fakeStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s fakeStream) Context() context.Context { return s.ctx }

type badError struct{}

func (badError) Error() string { panic("again") }

// explode is the function whose name the stack must begin with.
func explode(v any) { panic(v) }

func TestAPanicIsAnsweredWithInternalAndLoggedWithItsStack(t *testing.T) {
	boom := errors.New("boom")
	var nilMap map[string]int
	for name, tc := range map[string]struct {
		handler func()
		level   string
		typ     string
		message string
		cause   error
		stack   string
	}{
		"an error":             {func() { explode(boom) }, "ERROR", "*errors.errorString", "boom", boom, "explode"},
		"a string":             {func() { explode("text") }, "ERROR", "string", "text", nil, "explode"},
		"a number":             {func() { explode(7) }, "ERROR", "int", "7", nil, "explode"},
		"a request":            {func() { explode(wrapperspb.String("secret")) }, "ERROR", "*wrapperspb.StringValue", "(a value of type *wrapperspb.StringValue)", nil, "explode"},
		"nil":                  {func() { explode(nil) }, "ERROR", "*runtime.PanicNilError", new(runtime.PanicNilError).Error(), nil, "explode"},
		"the runtime":          {func() { nilMap["x"] = 1 }, "ERROR", "runtime.boundsError", "assignment to entry in nil map", nil, "TestAPanic"},
		"an error that panics": {func() { explode(badError{}) }, "ERROR", "recovery_test.badError", "(its Error method panicked)", nil, "explode"},
		"an abort":             {func() { explode(http.ErrAbortHandler) }, "WARN", "*errors.errorString", "net/http: abort Handler", http.ErrAbortHandler, ""},
	} {
		if name == "the runtime" {
			tc.typ = "" // the runtime's own, which has no stable name
		}
		check := func(t *testing.T, err error, lines []line) {
			t.Helper()
			if !errors.Is(err, errs.Internal(errs.ReasonPanic, "")) || tc.cause != nil && !errors.Is(err, tc.cause) {
				t.Errorf("answered %v", err)
			}
			if got := errs.From(err).Message(); got != "internal error; quote the correlation ID id-1" {
				t.Errorf("message %q", got)
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines", len(lines))
			}
			l := lines[0]
			if l.Level != tc.level || tc.typ != "" && l.Type != tc.typ || l.Message != tc.message || !strings.Contains(l.Stack, tc.stack) || (l.Stack == "") != (tc.stack == "") {
				t.Errorf("logged %+v", l)
			}
			if tc.stack == "explode" && !strings.HasPrefix(l.Stack, "github.com/keelson-dev/keelson/recovery_test.explode(") {
				t.Errorf("the stack does not begin where it panicked:\n%s", l.Stack)
			}
		}
		ctx := context.Context(&call.Call{Context: context.Background(), CorrelationID: "id-1"})
		t.Run(name+", unary", func(t *testing.T) {
			logger, lines := logged(t)
			reply, err := recovery.UnaryServer(logger)(ctx, nil, nil, func(context.Context, any) (any, error) {
				tc.handler()
				return "reply", nil
			})
			if reply != nil {
				t.Errorf("replied %v", reply)
			}
			check(t, err, lines())
		})
		t.Run(name+", stream", func(t *testing.T) {
			logger, lines := logged(t)
			err := recovery.StreamServer(logger)(nil, fakeStream{ctx: ctx}, nil, func(any, grpc.ServerStream) error {
				tc.handler()
				return nil
			})
			check(t, err, lines())
		})
	}
}

func TestWithoutAPanicNothingHappens(t *testing.T) {
	logger, lines := logged(t)
	want := status.Error(codes.NotFound, "no")
	reply, err := recovery.UnaryServer(logger)(context.Background(), "req", nil, func(_ context.Context, req any) (any, error) { return req, want })
	if reply != "req" || err != want { //nolint:errorlint // the very same
		t.Errorf("got %v, %v", reply, err)
	}
	if err := recovery.StreamServer(nil)(nil, nil, nil, func(any, grpc.ServerStream) error { return want }); err != want { //nolint:errorlint // the very same
		t.Errorf("got %v", err)
	}
	if recovery.Recover(context.Background(), logger, nil) != nil || len(lines()) != 0 {
		t.Error("nothing panicked, and something was logged or returned")
	}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = recovery.UnaryServer(nil)(context.Background(), nil, nil, func(context.Context, any) (any, error) { return nil, nil })
	}); n > 1 { // the interceptor itself, made anew here
		t.Errorf("%v allocations", n)
	}
}

func TestGoexitIsLoggedAndGoesOn(t *testing.T) {
	logger, lines := logged(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = recovery.UnaryServer(logger)(context.Background(), nil, nil, func(context.Context, any) (any, error) {
			runtime.Goexit()
			return nil, nil
		})
		t.Error("Goexit was undone")
	}()
	<-done
	done = make(chan struct{})
	go func() {
		defer close(done)
		_ = recovery.StreamServer(logger)(nil, fakeStream{ctx: context.Background()}, nil, func(any, grpc.ServerStream) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	got := lines()
	if len(got) != 2 || !strings.Contains(got[0].Msg, "Goexit") || !strings.Contains(got[1].Stack, "TestGoexit") {
		t.Errorf("logged %+v", got)
	}
}

func TestWithoutALoggerOrACallThereIsStillAnAnswer(t *testing.T) {
	err := recovery.Recover(context.Background(), nil, "secret")
	if errs.From(err).Message() != "internal error" || strings.Contains(err.Error(), "secret") {
		t.Errorf("answered %v", err)
	}
}

func ExampleUnaryServer() {
	get := func(context.Context, any) (any, error) {
		var users []string
		return users[3], nil
	}
	_, err := recovery.UnaryServer(nil)(context.Background(), nil, nil, get)
	fmt.Println(err)
	// Output: INTERNAL PANIC: internal error
}
