package keelson_test

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/baggage"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
)

// spanCollector keeps the spans that come over OTLP, with their service.
type spanCollector struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []collected
}

type collected struct {
	*tracepb.Span
	service string
}

func (c *spanCollector) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range in.GetResourceSpans() {
		service := ""
		for _, a := range r.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				c.spans = append(c.spans, collected{span, service})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func startSpanCollector(t *testing.T) (*spanCollector, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, s := &spanCollector{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(s, c)
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); served.Wait() })
	return c, l.Addr().String()
}

// chainOfTwo is a client, a service front that calls a service back, and a
// collector for all three.
type chainOfTwo struct {
	collector *spanCollector
	log       *logBuffer
	client    testpb.TestServiceClient
	seen      func() metadata.MD // what back's handler got last
	bagged    func() string
	metrics   prometheus.Gatherer // front's
	stop      func()              // ends all three, so that their telemetry is complete
}

func startChain(t *testing.T, ratio float64) *chainOfTwo {
	t.Helper()
	c := &chainOfTwo{log: &logBuffer{}}
	var endpoint string
	c.collector, endpoint = startSpanCollector(t)
	cfg := keelson.Config{}
	cfg.GRPC.Address, cfg.Ops.Address, cfg.Debug.Address = "127.0.0.1:0", "off", "off"
	cfg.Discovery.Driver, cfg.Discovery.File.Dir = "file", t.TempDir()
	cfg.Trace.Endpoint, cfg.Log.Level, cfg.Log.Format = endpoint, "debug", "json"
	cfg.Drain.Quiet = time.Millisecond
	apply := keelson.WithLogOutput(c.log)

	var mu sync.Mutex
	var md metadata.MD
	var bag string
	c.seen = func() metadata.MD { mu.Lock(); defer mu.Unlock(); return md }
	c.bagged = func() string { mu.Lock(); defer mu.Unlock(); return bag }
	back, err := keelson.New("back", cfg, apply)
	if err != nil {
		t.Fatal(err)
	}
	(&stub{empty: func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		md, _ = metadata.FromIncomingContext(ctx)
		bag = baggage.FromContext(ctx).Member("tenant").Value()
		back.Logger().InfoContext(ctx, "at work")
		return nil
	}}).register(back)
	front, err := keelson.New("front", cfg, apply)
	if err != nil {
		t.Fatal(err)
	}
	c.metrics = front.Registerer().(*prometheus.Registry)
	onward, err := front.Dial("back")
	if err != nil {
		t.Fatal(err)
	}
	(&stub{empty: func(ctx context.Context) error {
		in, _ := metadata.FromIncomingContext(ctx)
		passedOn := metadata.MD{} // as those do who know nothing of the chassis
		for _, key := range []string{call.CorrelationKey, "traceparent", "baggage"} {
			passedOn.Set(key, in.Get(key)...)
		}
		return invoke(metadata.NewOutgoingContext(ctx, passedOn), onward, emptyCall, grpc.WaitForReady(true))
	}}).register(front)

	cfg.Trace.Ratio = ratio
	client, err := keelson.NewClient("client", cfg, apply)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := client.Dial("front", grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	c.client = testpb.NewTestServiceClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, s := range []*keelson.Service{back, front} {
		running.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	c.stop = sync.OnceFunc(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		running.Wait()
	})
	t.Cleanup(c.stop)
	return c
}

func TestACallThroughTwoServicesIsOneTrace(t *testing.T) {
	c := startChain(t, 1)
	member, err := baggage.NewMember("tenant", "blue")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	ctx := metadata.AppendToOutgoingContext(baggage.ContextWithBaggage(bounded(t), bag), call.CorrelationKey, "order-17")
	if _, err := c.client.EmptyCall(ctx, &testpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if got := c.bagged(); got != "blue" {
		t.Errorf("the baggage at the end of the chain: %q", got)
	}

	byParent := map[string]collected{}
	for _, s := range c.collector.spans {
		byParent[string(s.GetParentSpanId())] = s
		if s.GetName() != "grpc.testing.TestService/EmptyCall" {
			t.Errorf("a span's name is %q", s.GetName())
		}
	}
	type hop struct{ Service, Kind string }
	var chain []hop
	for s, ok := byParent[""]; ok; s, ok = byParent[string(s.GetSpanId())] {
		chain = append(chain, hop{s.service, s.GetKind().String()})
	}
	want := []hop{{"client", "SPAN_KIND_CLIENT"}, {"front", "SPAN_KIND_SERVER"}, {"front", "SPAN_KIND_CLIENT"}, {"back", "SPAN_KIND_SERVER"}}
	if diff := cmp.Diff(want, chain); diff != "" {
		t.Errorf("the chain of spans (%d were collected): %s", len(c.collector.spans), diff)
	}
	c.oneTrace(t, "order-17", 5)
	c.counted(t)
}

// counted checks that front counted the call that it served and the one that it
// made, and that nothing is in flight.
func (c *chainOfTwo) counted(t *testing.T) {
	t.Helper()
	families, err := c.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	for _, side := range []string{"grpc_server_", "grpc_client_"} {
		for name, want := range map[string]float64{
			"started_total": 1, "handled_total": 1, "msg_received_total": 1, "msg_sent_total": 1, "handling_seconds": 1,
			"in_flight_calls": 0, "open_streams": 0,
		} {
			if got, ok := sums[side+name]; !ok && want > 0 || got != want {
				t.Errorf("%s%s is %v, want %v", side, name, got, want)
			}
		}
	}
}

func TestAnUnsampledCallThroughTwoServicesIsStillOneTrace(t *testing.T) {
	c := startChain(t, 1e-12) // 0 would be the default, one in a hundred
	if _, err := c.client.EmptyCall(bounded(t), &testpb.Empty{}); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if n := len(c.collector.spans); n > 0 {
		t.Errorf("%d spans were collected", n)
	}
	parent := c.seen().Get("traceparent")
	if len(parent) != 1 || len(parent[0]) != 55 || parent[0][52:] != "-00" {
		t.Errorf("traceparent at the end of the chain: %q", parent)
	}
	ids := c.seen().Get(call.CorrelationKey)
	if len(ids) != 1 {
		t.Fatalf("correlation IDs at the end of the chain: %q", ids)
	}
	c.oneTrace(t, ids[0], 5)
}

// oneTrace checks that every line of the call, at every place, has the same
// trace and correlation ID.
func (c *chainOfTwo) oneTrace(t *testing.T, correlation string, lines int) {
	t.Helper()
	traces := map[any]int{}
	for _, line := range c.log.with(t, "rpc.method", "EmptyCall") {
		traces[line["trace.id"]]++
		if line["labels.correlation_id"] != correlation {
			t.Errorf("correlation ID %v on %v", line["labels.correlation_id"], line)
		}
	}
	if len(traces) != 1 {
		t.Errorf("the lines of one call name the traces %v", traces)
	}
	for id, n := range traces {
		if id == nil || n != lines {
			t.Errorf("%d lines of trace %v, want %d", n, id, lines)
		}
	}
}

// with returns the lines that have a value under a key.
func (b *logBuffer) with(t *testing.T, key string, value any) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []map[string]any
	for line := range strings.Lines(b.buf.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("not a JSON line: %q", line)
		}
		if v[key] == value {
			found = append(found, v)
		}
	}
	return found
}
