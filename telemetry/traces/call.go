package traces

import (
	"context"
	"net"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// Begin gives a call its place in a trace: it sets the record's SpanContext,
// its Span when the call is sampled, and puts both into the context that the
// record wraps. At a server the parent is what the metadata say; at a client it
// is the span in the context. Unsampled it makes no span.
func (t *Tracing) Begin(c *call.Call) {
	if t == nil {
		return
	}
	parent := trace.SpanContext{}
	if c.Side == call.Server {
		c.Context, parent = extract(c.Context)
	} else {
		parent = trace.SpanContextFromContext(c.Context)
	}
	switch {
	case parent.IsValid() && parent.IsSampled():
		t.start(c, parent)
	case parent.IsValid():
		c.SpanContext = unsampled(c.Side, parent)
	case t.chosen():
		t.start(c, parent)
	default:
		c.SpanContext = trace.NewSpanContext(trace.SpanContextConfig{TraceID: newTraceID(), SpanID: newSpanID()})
	}
	if c.Span == nil && !(c.Side == call.Client && parent.IsValid()) {
		c.Context = trace.ContextWithSpanContext(c.Context, c.SpanContext)
	}
}

// unsampled is the place of a call in a trace that is not sampled. A server's
// is its own, so that its lines can be told apart; a client passes on its
// caller's.
func unsampled(side call.Side, parent trace.SpanContext) trace.SpanContext {
	if side == call.Client {
		return parent
	}
	return parent.WithSpanID(newSpanID()).WithRemote(false)
}

// start makes the span of a sampled call.
func (t *Tracing) start(c *call.Call, parent trace.SpanContext) {
	ctx := c.Context
	if parent.IsRemote() {
		ctx = trace.ContextWithSpanContext(ctx, parent)
	}
	kind := trace.SpanKindServer
	if c.Side == call.Client {
		kind = trace.SpanKindClient
	}
	_, span := t.tracer.Start(context.WithValue(ctx, decided{}, true), spanName(c.Method),
		trace.WithSpanKind(kind), trace.WithTimestamp(c.Start), trace.WithAttributes(attributes(c)...))
	c.Span, c.SpanContext = span, span.SpanContext()
	c.Context = trace.ContextWithSpan(c.Context, span)
}

func spanName(m *policy.Method) string {
	if m.FullName == policy.UnknownName {
		return "grpc"
	}
	return m.FullName[1:]
}

func attributes(c *call.Call) []attribute.KeyValue {
	kv := make([]attribute.KeyValue, 0, 8)
	kv = append(kv, semconv.RPCSystemNameGRPC)
	if c.Method.FullName == policy.UnknownName {
		kv = append(kv, semconv.RPCMethod("_OTHER"))
		if name, ok := grpc.Method(c.Context); ok && len(name) > 1 {
			kv = append(kv, semconv.RPCMethodOriginal(name[1:]))
		}
	} else {
		kv = append(kv, semconv.RPCMethod(c.Method.FullName[1:]))
	}
	if c.CorrelationID != "" {
		kv = append(kv, attribute.String("keelson.correlation_id", c.CorrelationID))
	}
	if c.Target != "" {
		kv = append(kv, attribute.String("keelson.target", c.Target))
	}
	if c.Side == call.Server {
		kv = appendPeer(kv, c)
	}
	return kv
}

// appendPeer adds the other end: a server knows it from the begin, a client
// once the call has ended.
func appendPeer(kv []attribute.KeyValue, c *call.Call) []attribute.KeyValue {
	if c.Peer == nil {
		return kv
	}
	tcp, ok := c.Peer.(*net.TCPAddr)
	switch {
	case ok && c.Side == call.Server:
		return append(kv, semconv.ClientAddress(tcp.IP.String()), semconv.ClientPort(tcp.Port))
	case ok:
		return append(kv, semconv.ServerAddress(tcp.IP.String()), semconv.ServerPort(tcp.Port))
	case c.Side == call.Server:
		return append(kv, semconv.ClientAddress(c.Peer.String()))
	default:
		return append(kv, semconv.ServerAddress(c.Peer.String()))
	}
}

// Attempt records on the span of a client's call that it is being sent, for
// the n-th time, to an address. Unsampled it does nothing.
func Attempt(c *call.Call, n int, address string) {
	if c.Span != nil {
		c.Span.AddEvent("attempt", trace.WithAttributes(
			attribute.Int("keelson.attempt", n), semconv.NetworkPeerAddress(address)))
	}
}

// End ends the span of a call, if it has one; call.Call.End comes first.
func (t *Tracing) End(c *call.Call) {
	if t == nil || c.Span == nil {
		return
	}
	kv := make([]attribute.KeyValue, 0, 8)
	kv = append(kv, semconv.RPCResponseStatusCode(errs.CodeName(c.Code)))
	if c.Method.Kind != policy.Unary {
		kv = append(kv, attribute.Int64("keelson.messages.received", c.Received.Load()), attribute.Int64("keelson.messages.sent", c.Sent.Load()))
	}
	if c.Side == call.Client {
		kv = append(appendPeer(kv, c), attribute.Int("keelson.attempts", int(c.Attempts.Load())))
	}
	if c.Code != codes.OK {
		kv = append(kv, failure(c)...)
	}
	c.Span.SetAttributes(kv...)
	c.Span.End(trace.WithTimestamp(c.Start.Add(c.Duration)))
}

// maxStatus is the longest text of a span's status, in bytes.
const maxStatus = 1 << 10

// failure marks a span that failed. At a server what the caller got wrong is no
// error of the span, as the conventions have it.
func failure(c *call.Call) []attribute.KeyValue {
	name := errs.CodeName(c.Code)
	if c.Side == call.Client || serverFault(c.Code) {
		why := name
		if c.Failure != nil {
			why = c.Failure.Error()
		}
		if len(why) > maxStatus {
			why = strings.ToValidUTF8(why[:maxStatus], "") // the half of a character
		}
		c.Span.SetStatus(otelcodes.Error, why)
	}
	kv := []attribute.KeyValue{semconv.ErrorTypeKey.String(name)}
	if reason := errs.Reason(c.Failure); reason != "" {
		kv = append(kv, attribute.String("keelson.error.reason", reason))
	}
	return kv
}

func serverFault(c codes.Code) bool {
	switch c {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	default:
		return false
	}
}

// Outgoing appends the metadata that a client's call carries: traceparent,
// tracestate and baggage, as pairs for metadata.AppendToOutgoingContext.
func (t *Tracing) Outgoing(c *call.Call, pairs []string) []string {
	if t == nil {
		return pairs
	}
	return inject(c.Context, c.SpanContext, pairs)
}
