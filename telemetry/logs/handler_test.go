package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

func TestHandlerBehavesAsSlogRequires(t *testing.T) {
	var out bytes.Buffer
	var sink *logs.Sink
	newHandler := func(t *testing.T) slog.Handler {
		t.Helper()
		out.Reset()
		var err error
		if sink, err = logs.NewSink(&out, logs.SinkConfig{}); err != nil {
			t.Fatal(err)
		}
		return logs.New(sink, logs.Config{}).Handler()
	}
	result := func(t *testing.T) map[string]any {
		t.Helper()
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(out.Bytes(), &m); err != nil {
			t.Fatalf("line is not JSON: %v\n%s", err, out.Bytes())
		}
		for ours, theirs := range map[string]string{"@timestamp": slog.TimeKey, "log.level": slog.LevelKey, "message": slog.MessageKey} {
			if v, ok := m[ours]; ok {
				delete(m, ours)
				m[theirs] = v
			}
		}
		return m
	}
	slogtest.Run(t, newHandler, result)
}

func TestRecordsWrittenWithTheContextCarryTheCall(t *testing.T) {
	l, close := newLog(t, logs.Config{Service: "user", Version: "1.2", Instance: "user-1", Environment: "test"})
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	child := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{3}})
	c := &call.Call{
		Context: context.Background(), CorrelationID: "order-17", SpanContext: sc,
		Method: policy.NewTable().AddMethod("user.v1.UserService", "GetUser", policy.Unary),
	}
	logger := l.Logger().With("a", 1).WithGroup("g").With("b", 2)
	logger.InfoContext(c, "in the call", "c", 3)
	logger.InfoContext(trace.ContextWithSpanContext(c, child), "in a child span")
	logger.Info("outside")
	lines := close()
	for _, m := range lines {
		delete(m, "@timestamp")
	}
	every := map[string]any{
		"log.level": "info", "ecs.version": "8.17.0", "service.name": "user", "service.version": "1.2",
		"service.node.name": "user-1", "service.environment": "test", "a": 1.0,
	}
	inCall := map[string]any{"labels.correlation_id": "order-17", "rpc.service": "user.v1.UserService", "rpc.method": "GetUser", "trace.id": "01000000000000000000000000000000"}
	want := []map[string]any{
		merge(every, inCall, map[string]any{"message": "in the call", "span.id": "0200000000000000", "g": map[string]any{"b": 2.0, "c": 3.0}}),
		merge(every, inCall, map[string]any{"message": "in a child span", "span.id": "0300000000000000", "g": map[string]any{"b": 2.0}}),
		merge(every, map[string]any{"message": "outside", "g": map[string]any{"b": 2.0}}),
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

func merge(all ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range all {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

type point struct {
	X      int `json:"x"`
	Hidden int `json:"-"`
	Y      *int
	secret string
}

type panicking struct{}

func (panicking) MarshalText() ([]byte, error) { panic("boom") }

type panics struct{}

func (*panics) Error() string { panic("nil inside") }

func TestValuesBecomeJSON(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	tests := []struct {
		name string
		give any
		want any
	}{
		{"text", "a\"b\\c\n\t\r\x01é\xff", "a\"b\\c\n\t\r\x01é\ufffd"},
		{"integer", int64(-3), -3.0},
		{"unsigned", uint64(3), 3.0},
		{"float", 1.5, 1.5},
		{"not a number", math.NaN(), "NaN"},
		{"infinity", math.Inf(1), "+Inf"},
		{"boolean", true, true},
		{"duration in nanoseconds", time.Second, 1e9},
		{"time", when, "2026-01-02T03:04:05.000006Z"},
		{"nil", nil, nil},
		{"nil pointer", (*point)(nil), nil},
		{"struct", &point{X: 1, Hidden: 2, secret: "s"}, map[string]any{"x": 1.0, "Y": nil}},
		{"list", []any{1, "a", nil}, []any{1.0, "a", nil}},
		{"map", map[string]int{"a": 1}, map[string]any{"a": 1.0}},
		{"bytes", []byte("hi"), "aGk="},
		{"error under another key", errors.New("boom"), "boom"},
		{"error that panics", &panics{}, "!PANIC: nil inside"},
		{"channel", make(chan int), "!ERROR: json: unsupported type: chan int"},
		{"marshaler that panics", panicking{}, "!PANIC: boom"},
		{"marshaler", json.RawMessage(`{"a":1}`), map[string]any{"a": 1.0}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			l, close := newLog(t, logs.Config{})
			l.Logger().Info("m", "value", tc.give)
			if diff := cmp.Diff(tc.want, close()[0]["value"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrorsBecomeErrorFields(t *testing.T) {
	l, close := newLog(t, logs.Config{})
	l.Logger().Error("m", "error", errs.NotFound("USER_NOT_FOUND", "user %q", "ada"))
	l.Logger().Error("m", "err", errors.New(strings.Repeat("é", 2000)))
	lines := close()
	if got := lines[0]; got["error.type"] != "USER_NOT_FOUND" || !strings.Contains(got["error.message"].(string), `user "ada"`) {
		t.Errorf("got %v", got)
	}
	if got := lines[1]["error.message"].(string); len(got) > 1030 || !strings.HasSuffix(got, "é…") {
		t.Errorf("a long text has %d bytes and ends in %q", len(got), got[len(got)-4:])
	}
}

func TestLevelIsSetAtRunTime(t *testing.T) {
	l, close := newLog(t, logs.Config{Level: slog.LevelWarn})
	l.Logger().Info("hidden")
	l.Level().Set(slog.LevelDebug)
	l.Logger().Debug("shown")
	if got := close(); len(got) != 1 || got[0]["message"] != "shown" {
		t.Errorf("got %v", got)
	}
}

func TestNilLogIsOff(t *testing.T) {
	var l *logs.Log
	l.End(nil)
	l.SetSample(0.5)
	l.Level().Set(slog.LevelDebug)
	l.Logger().Error("nobody hears")
}
