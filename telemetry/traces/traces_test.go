package traces_test

import (
	"context"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/baggage"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/traces"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
	sampled = "00-" + traceID + "-" + spanID + "-01"
	not     = "00-" + traceID + "-" + spanID + "-00"
)

func newTracing(t testing.TB, cfg traces.Config) (*traces.Tracing, *tracetest.SpanRecorder) {
	t.Helper()
	tr, err := traces.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	recorder := tracetest.NewSpanRecorder()
	tr.Provider().(*sdktrace.TracerProvider).RegisterSpanProcessor(recorder)
	return tr, recorder
}

// server returns the record of a call that came with pairs of metadata.
func server(pairs ...string) *call.Call {
	return &call.Call{
		Context: metadata.NewIncomingContext(context.Background(), metadata.Pairs(pairs...)),
		Method:  policy.NewTable().AddMethod("user.v1.UserService", "GetUser", policy.Unary),
		Start:   time.Unix(100, 0), CorrelationID: "order-17",
		Peer: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4123},
	}
}

func client(ctx context.Context) *call.Call {
	return &call.Call{
		Context: ctx, Side: call.Client, Start: time.Unix(100, 0), Target: "user",
		Method: policy.NewTable().AddMethod("user.v1.UserService", "GetUser", policy.Unary),
	}
}

func end(tr *traces.Tracing, c *call.Call, err error) {
	c.End(errs.Code(err), err, c.Start.Add(time.Second))
	tr.End(c)
}

func TestTheCallerDecidesOverSamplingAndTheRatioOtherwise(t *testing.T) {
	tests := []struct {
		name    string
		ratio   float64
		pairs   []string
		sampled bool
		same    bool // the caller's trace
	}{
		{"sampled by the caller", 0, []string{"traceparent", sampled}, true, true},
		{"not sampled by the caller", 1, []string{"traceparent", not}, false, true},
		{"other flags", 0, []string{"traceparent", sampled[:53] + "03"}, true, true},
		{"a later version with more", 0, []string{"traceparent", "01" + sampled[2:] + "-extra"}, true, true},
		{"begins here, all", 1, nil, true, false},
		{"begins here, none", 0, nil, false, false},
		{"unknown version", 0, []string{"traceparent", "ff" + sampled[2:]}, false, false},
		{"too long for its version", 0, []string{"traceparent", sampled + "-extra"}, false, false},
		{"upper case", 0, []string{"traceparent", strings.ToUpper(sampled)}, false, false},
		{"no trace ID", 0, []string{"traceparent", "00-00000000000000000000000000000000-" + spanID + "-01"}, false, false},
		{"no span ID", 0, []string{"traceparent", "00-" + traceID + "-0000000000000000-01"}, false, false},
		{"too short", 0, []string{"traceparent", sampled[:54]}, false, false},
		{"twice", 0, []string{"traceparent", sampled, "traceparent", sampled}, false, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tr, recorder := newTracing(t, traces.Config{Ratio: tc.ratio})
			c := server(tc.pairs...)
			tr.Begin(c)
			sc := trace.SpanContextFromContext(c)
			if !sc.IsValid() || !sc.Equal(c.SpanContext) || sc.SpanID().String() == spanID || sc.IsRemote() {
				t.Errorf("the call has no place of its own: %v, %v", sc, c.SpanContext)
			}
			if sc.IsSampled() != tc.sampled || (c.Span != nil) != tc.sampled || (sc.TraceID().String() == traceID) != tc.same {
				t.Errorf("got %+v, span %v", sc, c.Span)
			}
			end(tr, c, nil)
			if got := len(recorder.Ended()) == 1; got != tc.sampled {
				t.Errorf("recorded: %v", got)
			}
			if tc.sampled && tc.same && recorder.Ended()[0].Parent().SpanID().String() != spanID {
				t.Errorf("parent %v", recorder.Ended()[0].Parent())
			}
		})
	}
}

func TestTheRatioIsReloadable(t *testing.T) {
	tr, _ := newTracing(t, traces.Config{})
	count := func() (n int) {
		for range 4000 {
			c := server()
			if tr.Begin(c); c.SpanContext.IsSampled() {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		ratio    float64
		low, top int
	}{{0, 0, 0}, {0.25, 700, 1300}, {1, 4000, 4000}, {-1, 0, 0}} {
		tr.SetRatio(tc.ratio)
		if got := count(); got < tc.low || got > tc.top {
			t.Errorf("%d of 4000 sampled at %v", got, tc.ratio)
		}
	}
}

func TestHandlersSpansFollowTheCall(t *testing.T) {
	tests := []struct {
		name   string
		parent string
		want   int
	}{{"sampled", sampled, 2}, {"not sampled", not, 0}}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tr, recorder := newTracing(t, traces.Config{Ratio: 1})
			c := server("traceparent", tc.parent)
			tr.Begin(c)
			_, child := tr.Provider().Tracer("handler").Start(context.WithValue(c, "any", 1), "query") //nolint:staticcheck // any key will do
			if child.IsRecording() != (tc.want > 0) || child.SpanContext().TraceID().String() != traceID {
				t.Errorf("child %v", child.SpanContext())
			}
			child.End()
			end(tr, c, nil)
			spans := recorder.Ended()
			if len(spans) != tc.want {
				t.Fatalf("%d spans, want %d", len(spans), tc.want)
			}
			if tc.want > 0 && spans[0].Parent().SpanID() != c.SpanContext.SpanID() {
				t.Error("the handler's span is no child of the call's")
			}
		})
	}
}

func TestANewRootInASampledCallIsATraceOfItsOwn(t *testing.T) {
	tr, _ := newTracing(t, traces.Config{})
	c := server("traceparent", sampled)
	tr.Begin(c)
	_, job := tr.Provider().Tracer("handler").Start(c, "job", trace.WithNewRoot())
	if job.IsRecording() || job.SpanContext().TraceID().String() == traceID {
		t.Errorf("the ratio is 0, and the job got %v", job.SpanContext())
	}
}

func TestContextGoesOut(t *testing.T) {
	tests := []struct {
		name string
		in   []string
		want func(c *call.Call) []string
	}{
		{"sampled", []string{"traceparent", sampled, "tracestate", "a=1,b=2", "baggage", "tenant=acme"}, func(c *call.Call) []string {
			return []string{"traceparent", "00-" + traceID + "-" + c.SpanContext.SpanID().String() + "-01", "tracestate", "a=1,b=2", "baggage", "tenant=acme"}
		}},
		{"not sampled", []string{"traceparent", not, "tracestate", "a=1", "baggage", "tenant=acme"}, func(c *call.Call) []string {
			return []string{"traceparent", "00-" + traceID + "-" + c.SpanContext.SpanID().String() + "-00", "tracestate", "a=1", "baggage", "tenant=acme"}
		}},
		{"state in several headers", []string{"traceparent", not, "tracestate", "a=1", "tracestate", "b=2"}, func(c *call.Call) []string {
			return []string{"traceparent", "00-" + traceID + "-" + c.SpanContext.SpanID().String() + "-00", "tracestate", "a=1,b=2"}
		}},
		{"begins here, not sampled", nil, func(c *call.Call) []string {
			return []string{"traceparent", "00-" + c.SpanContext.TraceID().String() + "-" + c.SpanContext.SpanID().String() + "-00"}
		}},
		{"broken state and baggage are dropped", []string{"traceparent", not, "tracestate", "=", "baggage", "=;"}, func(c *call.Call) []string {
			return []string{"traceparent", "00-" + traceID + "-" + c.SpanContext.SpanID().String() + "-00"}
		}},
		{"baggage that is too long is dropped", []string{"traceparent", not, "baggage", "a=" + strings.Repeat("x", 9000)}, func(c *call.Call) []string {
			return []string{"traceparent", "00-" + traceID + "-" + c.SpanContext.SpanID().String() + "-00"}
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tr, _ := newTracing(t, traces.Config{})
			in := server(tc.in...)
			tr.Begin(in)
			out := client(in)
			tr.Begin(out)
			got := tr.Outgoing(out, nil)
			of := in
			if out.Span != nil {
				of = out
			}
			if diff := cmp.Diff(tc.want(of), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAClientWithoutACallerBeginsATrace(t *testing.T) {
	tr, recorder := newTracing(t, traces.Config{Ratio: 1})
	c := client(context.Background())
	tr.Begin(c)
	if got := tr.Outgoing(c, nil); len(got) != 2 || got[1] != "00-"+c.SpanContext.TraceID().String()+"-"+c.SpanContext.SpanID().String()+"-01" {
		t.Errorf("got %q", got)
	}
	end(tr, c, nil)
	if got := recorder.Ended(); len(got) != 1 || got[0].SpanKind() != trace.SpanKindClient || got[0].Parent().IsValid() {
		t.Errorf("got %v", got)
	}
}

func TestHandlersReadBaggage(t *testing.T) {
	tr, _ := newTracing(t, traces.Config{})
	c := server("baggage", "other=1", "baggage", "tenant=acme")
	tr.Begin(c)
	if got := baggage.FromContext(c).Member("tenant").Value(); got != "acme" {
		t.Errorf("got %q", got)
	}
}

func TestSpansSayWhatTheConventionsAsk(t *testing.T) {
	unknown := func() *call.Call {
		c := server("traceparent", sampled)
		c.Method = policy.NewTable().Unknown()
		return c
	}
	stream := func() *call.Call {
		c := server("traceparent", sampled)
		c.Method = policy.NewTable().AddMethod("user.v1.UserService", "WatchUsers", policy.ServerStream)
		c.Received.Store(1)
		c.Sent.Store(9)
		return c
	}
	outgoing := func() *call.Call {
		ctx := trace.ContextWithSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
		}))
		c := client(ctx)
		c.Peer = &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 9000}
		c.Attempts.Store(2)
		return c
	}
	peer := map[string]any{"rpc.system.name": "grpc", "keelson.correlation_id": "order-17", "client.address": "10.0.0.7", "client.port": int64(4123)}
	tests := []struct {
		name   string
		give   *call.Call
		err    error
		span   string
		status sdktrace.Status
		want   map[string]any
	}{
		{"success", server("traceparent", sampled), nil, "user.v1.UserService/GetUser", sdktrace.Status{},
			merge(peer, map[string]any{"rpc.method": "user.v1.UserService/GetUser", "rpc.response.status_code": "OK"})},
		{"the caller's fault", server("traceparent", sampled), errs.NotFound("USER_NOT_FOUND", "no user"), "user.v1.UserService/GetUser", sdktrace.Status{},
			merge(peer, map[string]any{"rpc.method": "user.v1.UserService/GetUser", "rpc.response.status_code": "NOT_FOUND", "error.type": "NOT_FOUND", "keelson.error.reason": "USER_NOT_FOUND"})},
		{"the server's fault", server("traceparent", sampled), errs.Internal("STORE_BROKEN", "disk"), "user.v1.UserService/GetUser",
			sdktrace.Status{Code: otelcodes.Error, Description: "INTERNAL STORE_BROKEN: disk"},
			merge(peer, map[string]any{"rpc.method": "user.v1.UserService/GetUser", "rpc.response.status_code": "INTERNAL", "error.type": "INTERNAL", "keelson.error.reason": "STORE_BROKEN"})},
		{"unknown method", unknown(), nil, "grpc", sdktrace.Status{},
			merge(peer, map[string]any{"rpc.method": "_OTHER", "rpc.response.status_code": "OK"})},
		{"stream", stream(), nil, "user.v1.UserService/WatchUsers", sdktrace.Status{},
			merge(peer, map[string]any{"rpc.method": "user.v1.UserService/WatchUsers", "rpc.response.status_code": "OK", "keelson.messages.received": int64(1), "keelson.messages.sent": int64(9)})},
		{"client", outgoing(), errors.New("odd"), "user.v1.UserService/GetUser", sdktrace.Status{Code: otelcodes.Error, Description: "odd"},
			map[string]any{
				"rpc.system.name": "grpc", "rpc.method": "user.v1.UserService/GetUser", "rpc.response.status_code": "INTERNAL", "error.type": "INTERNAL", "keelson.error.reason": "INTERNAL",
				"keelson.target": "user", "keelson.attempts": int64(2), "server.address": "10.0.0.9", "server.port": int64(9000),
			}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tr, recorder := newTracing(t, traces.Config{Service: "user"})
			tr.Begin(tc.give)
			end(tr, tc.give, tc.err)
			span := recorder.Ended()[0]
			got := map[string]any{}
			for _, kv := range span.Attributes() {
				got[string(kv.Key)] = kv.Value.AsInterface()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if span.Name() != tc.span || span.Status() != tc.status || span.EndTime().Sub(span.StartTime()) != time.Second {
				t.Errorf("got %q, %+v, %v", span.Name(), span.Status(), span.EndTime().Sub(span.StartTime()))
			}
		})
	}
}

func merge(a, b map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range []map[string]any{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func TestAttemptsAreEventsOfTheSpan(t *testing.T) {
	tr, recorder := newTracing(t, traces.Config{Ratio: 1})
	c := client(context.Background())
	tr.Begin(c)
	traces.Attempt(c, 1, "10.0.0.1:1")
	traces.Attempt(c, 2, "10.0.0.2:1")
	end(tr, c, nil)
	if got := recorder.Ended()[0].Events(); len(got) != 2 || got[1].Name != "attempt" || got[1].Attributes[1].Value.AsString() != "10.0.0.2:1" {
		t.Errorf("got %v", got)
	}
	traces.Attempt(client(context.Background()), 1, "unsampled calls have no span")
}

func TestTheResourceNamesTheService(t *testing.T) {
	tr, recorder := newTracing(t, traces.Config{Service: "user", Version: "1.2", Instance: "user-1", Environment: "test", Ratio: 1})
	c := server()
	tr.Begin(c)
	end(tr, c, nil)
	got := map[string]string{}
	for _, kv := range recorder.Ended()[0].Resource().Attributes() {
		got[string(kv.Key)] = kv.Value.AsString()
	}
	want := map[string]string{
		"service.name": "user", "service.version": "1.2", "service.instance.id": "user-1", "deployment.environment.name": "test",
		"telemetry.sdk.language": "go", "telemetry.sdk.name": "opentelemetry",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrongConfigurationsAreNamed(t *testing.T) {
	for _, cfg := range []traces.Config{
		{Ratio: 2}, {Ratio: -0.1}, {Ratio: math.NaN()}, {Endpoint: "collector"}, {Endpoint: "collector:"}, {Endpoint: "unix:///run/otel"},
		{Endpoint: "grpc://collector:4317"}, {Endpoint: "http://"}, {Endpoint: "http://:4317"}, {Endpoint: "http://collector:port"},
		{Endpoint: "https://collector:4317/v1/traces"}, {Endpoint: "https://key@collector:4317"},
	} {
		if _, err := traces.New(cfg); err == nil || !strings.Contains(err.Error(), "trace ") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestNilTracingIsOff(t *testing.T) {
	var tr *traces.Tracing
	c := server("traceparent", sampled)
	tr.Begin(c)
	if got := tr.Outgoing(c, []string{"a", "b"}); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	tr.End(c)
	tr.SetRatio(1)
	if _, span := tr.Provider().Tracer("x").Start(c, "x"); span.IsRecording() {
		t.Error("a span records")
	}
}

func TestUnsampledCallsCostThreeAllocationsAtMost(t *testing.T) {
	tr, _ := newTracing(t, traces.Config{})
	c := server("traceparent", not, "user-agent", "grpc-go", ":authority", "user")
	ctx := c.Context
	n := testing.AllocsPerRun(1000, func() {
		c.Context = ctx
		tr.Begin(c)
		tr.End(c)
	})
	if n > 3 { // the header's copy, the span in the context, and its value
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBeginEndUnsampled(b *testing.B) {
	tr, _ := newTracing(b, traces.Config{})
	c := server("traceparent", not, "user-agent", "grpc-go", ":authority", "user", "content-type", "application/grpc", "x-correlation-id", "a")
	ctx := c.Context
	b.ReportAllocs()
	for b.Loop() {
		c.Context = ctx
		tr.Begin(c)
		tr.End(c)
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(sampled)
	f.Add("01" + sampled[2:] + "-x")
	f.Fuzz(func(t *testing.T, header string) {
		tr, err := traces.New(traces.Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := server("traceparent", header)
		tr.Begin(c)
		if sc := c.SpanContext; !sc.IsValid() || !strings.Contains(header, sc.TraceID().String()) && sc.IsSampled() {
			t.Errorf("%q gave %v", header, sc)
		}
	})
}
