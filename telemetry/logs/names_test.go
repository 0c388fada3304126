package logs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

// twice returns the keys that an object has twice, at any depth.
func twice(t *testing.T, line []byte) (found []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(line))
	var object func()
	value := func(first json.Token) {
		switch first {
		case json.Delim('{'):
			object()
		case json.Delim('['):
			t.Fatal("the test's lines have no lists")
		}
	}
	next := func() json.Token {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		return token
	}
	object = func() {
		seen := map[json.Token]bool{}
		for key := next(); key != json.Delim('}'); key = next() {
			if seen[key] {
				found = append(found, key.(string))
			}
			seen[key] = true
			value(next())
		}
	}
	value(next())
	return found
}

// An index such as Elasticsearch refuses a line that has a key twice, or a plain
// value where other lines have an object: the line would be lost.
func TestNoAttributeCostsALineItsPlaceInAnIndex(t *testing.T) {
	tests := []struct {
		name string
		log  func(*slog.Logger, context.Context)
		want map[string]any
	}{
		{"a field of every line", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "service.name", "other", "message", "x", "@timestamp", "never", "trace.id", "1")
		}, map[string]any{"labels.service_name": "other", "labels.message": "x", "labels.@timestamp": "never", "labels.trace_id": "1"}},
		{"an object of the schema", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "grpc", "127.0.0.1:1", "service", "s", "error", 7)
		}, map[string]any{"labels.grpc": "127.0.0.1:1", "labels.service": "s", "labels.error": 7.0}},
		{"the text of an error", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "error", "boom")
		}, map[string]any{"error.message": "boom"}},
		{"a key used again", func(l *slog.Logger, ctx context.Context) {
			l.With("user", 1).With("user", 2).InfoContext(ctx, "m", "user", 3)
		}, map[string]any{"user": 1.0, "user_2": 2.0, "user_3": 3.0}},
		{"two errors", func(l *slog.Logger, ctx context.Context) {
			l.With("error", errors.New("one")).InfoContext(ctx, "m", "err", errors.New("two"))
		}, map[string]any{"error.message": "one", "error.type": "INTERNAL", "error.message_2": "two", "error.type_2": "INTERNAL"}},
		{"a group used again", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", slog.Group("g", "a", 1, "a", 2), slog.Group("g", "a", 3), "a", 4)
		}, map[string]any{"g": map[string]any{"a": 1.0, "a_2": 2.0}, "g_2": map[string]any{"a": 3.0}, "a": 4.0}},
		{"an open group", func(l *slog.Logger, ctx context.Context) {
			l.WithGroup("g").With("message", "in a group").InfoContext(ctx, "m", "message", "again")
		}, map[string]any{"g": map[string]any{"message": "in a group", "message_2": "again"}}},
		{"the schema's own fields", func(l *slog.Logger, ctx context.Context) {
			l.InfoContext(ctx, "m", "event.category", "database", "log.logger", "sql", slog.Group("db", "rows", 1))
		}, map[string]any{"event.category": "database", "log.logger": "sql", "db": map[string]any{"rows": 1.0}}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			out := &output{}
			sink := newSink(t, out, logs.SinkConfig{})
			l := logs.New(sink, logs.Config{Service: "s", Version: "v", Instance: "i", Environment: "e"}).Logger()
			ctx := &call.Call{Context: t.Context(), CorrelationID: "c", Method: policy.NewTable().Unknown()}
			l.InfoContext(ctx, "m")
			tc.log(l, ctx)
			if err := sink.Close(); err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(out.buf.Bytes()) {
				if keys := twice(t, line); len(keys) > 0 {
					t.Errorf("keys twice: %q in %s", keys, line)
				}
			}
			lines := out.lines(t)
			plain, got := lines[0], lines[1]
			for key := range plain {
				delete(got, key)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// hidden says how it wants to be logged.
type hidden struct{ Secret string }

func (h hidden) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("length", len(h.Secret)))
}

func TestValuesSayWhatIsLoggedOfThemAtAnyDepth(t *testing.T) {
	byValue := reflect.ValueOf(timestamppb.New(time.Unix(0, 0))).Elem().Interface()
	tests := []struct {
		name string
		give any
		want any
	}{
		{"in a list", []hidden{{"abc"}}, []any{map[string]any{"length": 3.0}}},
		{"in a map", map[string]any{"k": &hidden{"abc"}}, map[string]any{"k": map[string]any{"length": 3.0}}},
		{"in a struct", struct{ H hidden }{hidden{"abc"}}, map[string]any{"H": map[string]any{"length": 3.0}}},
		{"a message by value", []any{byValue}, []any{"1970-01-01T00:00:00Z"}},
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

func TestNothingInALineSteersATerminalOrForgesALine(t *testing.T) {
	const evil = "a\nb\r\x1b[2J\x7f\u009b31m\u2028\u2029\xff\"}\x00"
	out := &output{}
	sink := newSink(t, out, logs.SinkConfig{})
	l := logs.New(sink, logs.Config{Service: evil}).Logger()
	l.With(evil, evil).WithGroup(evil).Error(evil, evil, errors.New(evil), "error", errors.New(evil))
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := out.lines(t); len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}
	text := strings.TrimSuffix(out.buf.String(), "\n")
	for _, bad := range []string{"\n", "\r", "\x1b", "\x7f", "\u009b", "\u2028", "\u2029", "\xff", "\x00"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is in the line as it is", bad)
		}
	}
}
