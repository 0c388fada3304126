package intercept_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/internal/intercept"
	"github.com/keelson-dev/keelson/telemetry/logs"
	"github.com/keelson-dev/keelson/telemetry/metrics"
	"github.com/keelson-dev/keelson/telemetry/traces"
	"github.com/keelson-dev/keelson/telemetry/zpages"
)

// bench holds all concerns at one side, and what they saw.
type bench struct {
	table *policy.Table
	out   bytes.Buffer
	sink  *logs.Sink
	logs  *logs.Log
	reg   *prometheus.Registry
	count *metrics.Metrics
	trace *traces.Tracing
	spans *tracetest.SpanRecorder
	pages *zpages.Pages
}

func newBench(t testing.TB, side call.Side) *bench {
	t.Helper()
	b := &bench{}
	b.init(t, side, &b.out)
	return b
}

// init makes all concerns, with the log going to w.
func (b *bench) init(t testing.TB, side call.Side, w io.Writer) {
	t.Helper()
	*b = bench{table: policy.NewTable(), reg: prometheus.NewRegistry(), spans: tracetest.NewSpanRecorder(), pages: zpages.New(zpages.Config{})}
	for i, kind := range kinds {
		b.table.AddMethod("t.T", kind, []policy.Kind{policy.Unary, policy.ClientStream, policy.ServerStream, policy.BidiStream}[i])
	}
	var errs [3]error
	b.sink, errs[0] = logs.NewSink(w, logs.SinkConfig{})
	b.count, errs[1] = metrics.New(b.reg, metrics.Config{Side: side})
	b.trace, errs[2] = traces.New(traces.Config{})
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.logs = logs.New(b.sink, logs.Config{Level: slog.LevelDebug})
	b.trace.Provider().(*sdktrace.TracerProvider).RegisterSpanProcessor(b.spans)
}

// seen is what all concerns saw, without what differs from run to run.
type seen struct {
	Lines   []map[string]any
	Metrics []string
	Spans   []string
}

func (b *bench) seen(t *testing.T) seen {
	t.Helper()
	if err := b.sink.Close(); err != nil {
		t.Fatal(err)
	}
	var s seen
	for line := range bytes.Lines(b.out.Bytes()) {
		m := map[string]any{}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{"@timestamp", "event.duration", "span.id", "keelson.deadline_left"} {
			if m[k] == nil {
				t.Errorf("line without %s: %s", k, line)
			}
			delete(m, k)
		}
		s.Lines = append(s.Lines, m)
	}
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			s.Metrics = append(s.Metrics, fmt.Sprint(f.GetName(), m.GetLabel(), value))
		}
	}
	for _, span := range b.spans.Ended() {
		var kv []string
		for _, a := range span.Attributes() {
			kv = append(kv, string(a.Key)+"="+a.Value.String())
		}
		slices.Sort(kv)
		s.Spans = append(s.Spans, strings.Join(append([]string{span.Name(), span.SpanKind().String(), span.Status().Code.String()}, kv...), " "))
	}
	return s
}

// fused does what keelson's own wrapper does: one record, all concerns.
func (b *bench) fused(method string, ctx context.Context, handle func(context.Context) (received, sent int, err error)) error {
	c := &call.Call{Context: ctx, Method: b.table.Lookup(method), Start: time.Now()}
	c.CorrelationID = metadata.ValueFromIncomingContext(ctx, call.CorrelationKey)[0]
	if p, ok := peer.FromContext(ctx); ok {
		c.Peer = p.Addr
	}
	b.trace.Begin(c)
	k := b.count.For(c.Method)
	k.Begin(c)
	b.pages.Begin(c)
	received, sent, err := handle(c)
	for range received {
		c.Received.Add(1)
		k.Received()
	}
	for range sent {
		c.Sent.Add(1)
		k.Sent()
	}
	c.End(intercept.Code(err), err, time.Now())
	b.pages.End(c)
	k.End(c)
	b.trace.End(c)
	b.logs.End(c)
	return err
}

func plain(_ string, ctx context.Context, handle func(context.Context) (received, sent int, err error)) error {
	_, _, err := handle(ctx)
	return err
}

func outgoing(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, call.CorrelationKey, "order-17",
		"traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
}

var outcomes = map[string]error{
	"success": nil,
	"failure": status.Error(codes.ResourceExhausted, "too much"),
	"unknown": fmt.Errorf("plain"),
	"timeout": context.DeadlineExceeded,
}

func TestInterceptorsAndTheFusedWrapperBehaveAlike(t *testing.T) {
	for name, outcome := range outcomes {
		for _, kind := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				answer := func() error { return outcome }
				one := newBench(t, call.Server)
				cc1, stop1 := serve(t, describe(answer, one.fused), nil)
				err1 := invoke(outgoing(t), cc1, kind)
				stop1()
				many := newBench(t, call.Server)
				cc2, stop2 := serve(t, describe(answer, plain), []grpc.ServerOption{
					grpc.ChainUnaryInterceptor(many.logs.UnaryServer(many.table), many.trace.UnaryServer(many.table), many.count.UnaryServer(many.table), many.pages.UnaryServer(many.table)),
					grpc.ChainStreamInterceptor(many.logs.StreamServer(many.table), many.trace.StreamServer(many.table), many.count.StreamServer(many.table), many.pages.StreamServer(many.table)),
				})
				err2 := invoke(outgoing(t), cc2, kind)
				stop2()
				if status.Code(err1) != status.Code(err2) || (err1 == nil) != (outcome == nil) {
					t.Fatalf("answers %v and %v", err1, err2)
				}
				got1, got2 := one.seen(t), many.seen(t)
				if diff := cmp.Diff(got1, got2); diff != "" {
					t.Errorf("fused against interceptors: %s", diff)
				}
				if len(got1.Lines) != 1 || len(got1.Spans) != 1 {
					t.Errorf("%d lines and %d spans for one call", len(got1.Lines), len(got1.Spans))
				}
			})
		}
	}
}

func TestClientsInterceptorsAccountForEveryKindAndOutcome(t *testing.T) {
	codesOf := map[string]string{"success": "OK", "failure": "RESOURCE_EXHAUSTED", "unknown": "UNKNOWN", "timeout": "DEADLINE_EXCEEDED"}
	for name, outcome := range outcomes {
		for _, kind := range kinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				b := newBench(t, call.Client)
				cc, stop := serve(t, describe(func() error { return outcome }, plain), nil, b.dial()...)
				if err := invoke(outgoing(t), cc, kind); (err == nil) != (outcome == nil) {
					t.Fatal(err)
				}
				stop()
				got := b.seen(t)
				if len(got.Lines) != 1 || len(got.Spans) != 0 {
					t.Fatalf("%d lines and %d spans for one call", len(got.Lines), len(got.Spans))
				}
				line := got.Lines[0]
				if line["grpc.code"] != codesOf[name] || line["event.action"] != "client_call" || line["keelson.attempts"] != 1.0 || line["labels.target"] != "passthrough:///memory" {
					t.Errorf("got %v", line)
				}
				for _, gauge := range []string{"grpc_client_in_flight_calls", "grpc_client_open_streams"} {
					for _, m := range got.Metrics {
						if strings.HasPrefix(m, gauge) && !strings.HasSuffix(m, " 0") {
							t.Errorf("still open: %s", m)
						}
					}
				}
			})
		}
	}
}

func (b *bench) dial() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(b.logs.UnaryClient(b.table), b.trace.UnaryClient(b.table), b.count.UnaryClient(b.table), b.pages.UnaryClient(b.table)),
		grpc.WithChainStreamInterceptor(b.logs.StreamClient(b.table), b.trace.StreamClient(b.table), b.count.StreamClient(b.table), b.pages.StreamClient(b.table)),
	}
}

func TestAStreamThatItsCallerAbandonsEnds(t *testing.T) {
	table := policy.NewTable()
	table.AddMethod("t.T", "BidiStream", policy.BidiStream)
	ended := make(chan codes.Code, 1)
	core := intercept.Core{End: func(c *call.Call) { ended <- c.Code }}
	cc, stop := serve(t, describe(func() error { return nil }, plain), nil, grpc.WithStreamInterceptor(intercept.StreamClient(table, core)))
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := cc.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/t.T/BidiStream"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if got := <-ended; got != codes.Canceled {
		t.Errorf("ended with %v", got)
	}
	stop()
}

func TestAStreamThatCannotBeginEnds(t *testing.T) {
	ended := make(chan codes.Code, 1)
	core := intercept.Core{End: func(c *call.Call) { ended <- c.Code }}
	cc, stop := serve(t, describe(func() error { return nil }, plain), nil, grpc.WithStreamInterceptor(intercept.StreamClient(policy.NewTable(), core)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/t.T/ServerStream"); err == nil {
		t.Error("no error")
	}
	if got := <-ended; got != codes.Canceled {
		t.Errorf("ended with %v", got)
	}
	stop()
}

func TestTheTraceAndTheCorrelationIDGoThroughTwoHops(t *testing.T) {
	inner, outer, edge := newBench(t, call.Server), newBench(t, call.Server), newBench(t, call.Client)
	second, stopSecond := serve(t, describe(func() error { return nil }, inner.fused), nil)
	first, stopFirst := serve(t, describe(func() error { return nil }, func(method string, ctx context.Context, handle func(context.Context) (received, sent int, err error)) error {
		return outer.fused(method, ctx, func(ctx context.Context) (received, sent int, err error) {
			core := intercept.UnaryClient(edge.table, intercept.Core{Begin: edge.trace.Begin, Outgoing: edge.trace.Outgoing, End: edge.trace.End})
			err = core(ctx, "/t.T/Unary", nil, nil, second, func(ctx context.Context, _ string, _, _ any, cc *grpc.ClientConn, _ ...grpc.CallOption) error {
				return invoke(ctx, cc, "Unary")
			})
			return 1, 1, err
		})
	}), nil)
	if err := invoke(outgoing(t), first, "Unary"); err != nil {
		t.Fatal(err)
	}
	stopFirst()
	stopSecond()
	got := innerLine(t, inner)
	if got["trace.id"] != "0af7651916cd43dd8448eb211c80319c" || got["labels.correlation_id"] != "order-17" {
		t.Errorf("the second service logged %v", got)
	}
	edgeSpan, innerSpan := edge.spans.Ended()[0], inner.spans.Ended()[0]
	if innerSpan.Parent().SpanID() != edgeSpan.SpanContext().SpanID() || edgeSpan.Parent().SpanID() != outer.spans.Ended()[0].SpanContext().SpanID() {
		t.Error("the spans of the two services are not one chain")
	}
}

// innerLine returns the only line that a bench logged.
func innerLine(t *testing.T, b *bench) map[string]any {
	t.Helper()
	if err := b.sink.Close(); err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(b.out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestACallWhoseHandlerPanicsIsAccountedFor(t *testing.T) {
	var got codes.Code
	core := intercept.Core{End: func(c *call.Call) { got = c.Code }}
	calls := map[string]func(){
		"unary": func() {
			_, _ = intercept.UnaryServer(policy.NewTable(), core)(t.Context(), nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { panic("boom") })
		},
		"stream": func() {
			_ = intercept.StreamServer(policy.NewTable(), core)(nil, noStream{ctx: t.Context()}, &grpc.StreamServerInfo{}, func(any, grpc.ServerStream) error { panic("boom") })
		},
	}
	for name, invoke := range calls {
		t.Run(name, func(t *testing.T) {
			got = codes.OK
			defer func() {
				if r := recover(); r != "boom" || got != codes.Internal {
					t.Errorf("recovered %v, and the call ended with %v", r, got)
				}
			}()
			invoke()
		})
	}
}

// noStream is a stream that carries nothing but a context.
type noStream struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // as gRPC's interface has it
}

func (s noStream) Context() context.Context { return s.ctx }
