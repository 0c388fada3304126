package traces_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/traces"
)

// fakeCollector takes spans over OTLP.
type fakeCollector struct {
	collector.UnimplementedTraceServiceServer
	arrived chan string // names of spans

	mu   sync.Mutex
	hang chan struct{} // not nil: exports wait for it
}

func (f *fakeCollector) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	f.mu.Lock()
	hang := f.hang
	f.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for _, r := range req.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			for _, span := range s.GetSpans() {
				f.arrived <- span.GetName()
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func startCollector(t *testing.T, f *fakeCollector) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	collector.RegisterTraceServiceServer(s, f)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		<-done
	})
	return l.Addr().String()
}

func newExporting(t *testing.T, cfg traces.Config) (*traces.Tracing, *prometheus.Registry, func() error) {
	t.Helper()
	reg := prometheus.NewRegistry()
	cfg.Registerer, cfg.Ratio = reg, 1
	tr, err := traces.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	return tr, reg, func() error {
		cancel()
		return <-done
	}
}

func spans(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, m := range families[0].GetMetric() {
		got[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
	}
	return got
}

func record(tr *traces.Tracing, n int) {
	for range n {
		c := server("traceparent", sampled)
		tr.Begin(c)
		end(tr, c, nil)
	}
}

func TestSpansReachTheCollector(t *testing.T) {
	f := &fakeCollector{arrived: make(chan string, 100)}
	address := startCollector(t, f)
	for _, endpoint := range []string{address, "http://" + address} {
		t.Run(endpoint[:4], func(t *testing.T) {
			tr, reg, stop := newExporting(t, traces.Config{Endpoint: endpoint, BatchInterval: time.Millisecond})
			record(tr, 1)
			if got := <-f.arrived; got != "user.v1.UserService/GetUser" {
				t.Errorf("got %q", got)
			}
			record(tr, 10)
			if err := stop(); err != nil { // flushes
				t.Error(err)
			}
			for range 10 {
				<-f.arrived
			}
			if got := spans(t, reg)["exported"]; got != 11 {
				t.Errorf("exported %v spans", got)
			}
			record(tr, 1) // after the end nobody takes it, and nothing breaks
		})
	}
}

// A string that is no UTF-8 makes protobuf refuse the whole batch that it is in.
func TestAStringThatIsNoTextCostsNoSpan(t *testing.T) {
	f := &fakeCollector{arrived: make(chan string, 100)}
	tr, reg, stop := newExporting(t, traces.Config{Endpoint: startCollector(t, f), Service: "s\xff", Environment: "\xfe"})
	record(tr, 1)
	unknown := server("traceparent", sampled)
	unknown.Method = policy.NewTable().Unknown()
	unknown.Context = grpc.NewContextWithServerTransportStream(unknown.Context, named("/evil\xff/\xc3"))
	tr.Begin(unknown)
	end(tr, unknown, errs.Unimplemented("X", "no method"))
	cutInARune := server("traceparent", sampled)
	tr.Begin(cutInARune)
	end(tr, cutInARune, errs.Internal("X", "%s", strings.Repeat("\u00e9\u20ac", 1000)))
	handlers := server("traceparent", sampled)
	tr.Begin(handlers)
	_, span := tr.Provider().Tracer("t\xff").Start(handlers, "work\xff", trace.WithAttributes(attribute.String("k\xff", "v\xff"), attribute.StringSlice("l", []string{"\xff"}),
		attribute.KeyValue{Key: "m", Value: attribute.MapValue(attribute.KeyValue{Key: "\xff", Value: attribute.SliceValue(attribute.StringValue("\xff"))})}))
	span.AddEvent("e\xff", trace.WithAttributes(attribute.String("k", "\xff")))
	span.RecordError(errors.New("\xff"))
	span.AddLink(trace.Link{SpanContext: handlers.SpanContext, Attributes: []attribute.KeyValue{attribute.String("k", "\xff")}})
	span.SetStatus(codes.Error, "bad \xff")
	span.End()
	end(tr, handlers, nil)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := spans(t, reg); got["exported"] != 5 || got["failed"] != 0 {
		t.Errorf("of 5 spans: %v", got)
	}
}

// named is a server's transport stream that only knows its method.
type named string

func (s named) Method() string             { return string(s) }
func (named) SetHeader(metadata.MD) error  { return nil }
func (named) SendHeader(metadata.MD) error { return nil }
func (named) SetTrailer(metadata.MD) error { return nil }

func TestACollectorThatIsAwayBlocksNothingAndIsBounded(t *testing.T) {
	const queue, calls = 64, 5000
	hang := make(chan struct{})
	tests := []struct {
		name    string
		address func(t *testing.T) string
	}{
		{"nobody listens", func(t *testing.T) string {
			t.Helper()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			return l.Addr().String()
		}},
		{"it hangs", func(t *testing.T) string {
			t.Helper()
			return startCollector(t, &fakeCollector{hang: hang})
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tr, reg, stop := newExporting(t, traces.Config{
				Endpoint: tc.address(t), QueueSize: queue, BatchInterval: time.Millisecond,
				ExportTimeout: time.Minute, ShutdownTimeout: 50 * time.Millisecond,
			})
			record(tr, calls) // returns: it does not wait for the collector
			if got := spans(t, reg)["dropped"]; got < calls-queue {
				t.Errorf("dropped %v of %d with a queue of %d", got, calls, queue)
			}
			if err := stop(); err == nil || !strings.Contains(err.Error(), "is the collector up?") {
				t.Errorf("got %v", err)
			}
			got := spans(t, reg)
			if got["dropped"]+got["failed"] != calls || got["exported"] != 0 {
				t.Errorf("of %d spans became %v", calls, got)
			}
		})
	}
}

func TestACollectorThatComesBackTakesSpansAgain(t *testing.T) {
	hang := make(chan struct{})
	f := &fakeCollector{arrived: make(chan string, 10_000), hang: hang}
	tr, reg, stop := newExporting(t, traces.Config{
		Endpoint: startCollector(t, f), QueueSize: 64, BatchInterval: time.Millisecond,
	})
	record(tr, 1000)
	f.mu.Lock()
	f.hang = nil
	f.mu.Unlock()
	close(hang)
	<-f.arrived
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := spans(t, reg); got["failed"] != 0 || got["exported"]+got["dropped"] != 1000 {
		t.Errorf("of 1000 spans became %v", got)
	}
}

func TestWithoutAnEndpointRunOnlyWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	tr, err := traces.New(traces.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := tr.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestRegisteringTheExporterTwiceIsAnError(t *testing.T) {
	reg := prometheus.NewRegistry()
	for i, fails := range []bool{false, true} {
		if _, err := traces.New(traces.Config{Registerer: reg}); (err != nil) != fails {
			t.Errorf("time %d: %v", i, err)
		}
	}
	if n, err := testutil.GatherAndCount(reg); n != 3 || err != nil {
		t.Errorf("%d series, %v", n, err)
	}
}
