package logs

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"

	"github.com/keelson-dev/keelson/call"
)

// Handler returns the slog.Handler of the log. Records written with the context
// of a call carry its correlation ID, trace ID, span ID and method. Groups
// become objects. An error under the key error or err becomes error.message and
// error.type. Safe for concurrent use.
func (l *Log) Handler() slog.Handler {
	if l == nil {
		return slog.DiscardHandler
	}
	return &handler{log: l}
}

// handler keeps what WithAttrs and WithGroup have added as text: the open
// groups are part of it, and are closed at the end of each line.
type handler struct {
	log   *Log
	attrs []byte   // fields, with a comma before each
	open  []string // groups that nothing has been written into yet
	depth int      // groups open in attrs
	names []name   // keys in the objects that are open in attrs
}

func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = slices.Clip(slices.Clone(h.attrs))
	e := encoder{buf: next.attrs, open: h.open, depth: h.depth, names: slices.Clip(h.names)}
	for _, a := range attrs {
		e.attr(a)
	}
	next.attrs, next.open, next.depth, next.names = e.buf, e.open, e.depth, e.names
	return &next
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.open = append(slices.Clone(h.open), name)
	return &next
}

// Handle writes one record.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	b := buffers.Get().(*[]byte) //nolint:errcheck,forcetypeassert // the pool holds nothing else
	line := append((*b)[:0], '{')
	if !r.Time.IsZero() {
		line = append(line, `"`+keyTime+`":"`...)
		line = append(appendTime(line, r.Time), `",`...)
	}
	line = append(line, `"`+keyLevel+`":"`...)
	line = append(appendLevel(line, r.Level), '"')
	line = appendStringField(line, keyMessage, r.Message)
	line = append(line, h.log.static...)
	line = appendFromContext(line, ctx)
	e := encoder{buf: append(line, h.attrs...), open: h.open, depth: h.depth}
	e.names = append(e.room[:0], h.names...)
	r.Attrs(func(a slog.Attr) bool {
		e.attr(a)
		return true
	})
	for range e.depth {
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, '}', '\n')
	h.log.sink.write(e.buf, r.Level >= slog.LevelError)
	release(b, e.buf)
	return nil
}

// appendFromContext appends what the context knows: the innermost span, which
// may be a child of the call's, and the call.
func appendFromContext(b []byte, ctx context.Context) []byte {
	if ctx == nil {
		return b
	}
	c := call.From(ctx)
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() && c != nil {
		sc = c.SpanContext
	}
	if sc.IsValid() {
		id, span := sc.TraceID(), sc.SpanID()
		b = appendHexField(b, keyTrace, id[:])
		b = appendHexField(b, keySpan, span[:])
	}
	if c != nil {
		b = appendIdentity(b, c)
	}
	return b
}

func appendLevel(b []byte, l slog.Level) []byte {
	switch {
	case l < slog.LevelInfo:
		return append(b, "debug"...)
	case l < slog.LevelWarn:
		return append(b, "info"...)
	case l < slog.LevelError:
		return append(b, "warn"...)
	default:
		return append(b, "error"...)
	}
}
