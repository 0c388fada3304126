package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/metrics"
)

func newMetrics(t testing.TB, side call.Side) (*metrics.Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg, metrics.Config{Side: side})
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func newCall(m *policy.Method, side call.Side) *call.Call {
	return &call.Call{Context: context.Background(), Method: m, Side: side, Start: time.Unix(0, 0)}
}

func ended(c *call.Call, code codes.Code) *call.Call {
	c.End(code, nil, c.Start.Add(30*time.Millisecond))
	return c
}

func TestCallsAreCountedUnderTheNamesOfDashboards(t *testing.T) {
	for _, side := range []call.Side{call.Server, call.Client} {
		t.Run(side.String(), func(t *testing.T) {
			m, reg := newMetrics(t, side)
			table := policy.NewTable()
			get := m.For(table.AddMethod("user.v1.UserService", "GetUser", policy.Unary))
			watch := m.For(table.AddMethod("user.v1.UserService", "WatchUsers", policy.ServerStream))
			c := newCall(table.Lookup("/user.v1.UserService/GetUser"), side)
			c.Attempts.Store(2)
			for range 2 {
				get.Begin(c)
				get.Received()
			}
			get.Sent()
			get.End(ended(c, codes.NotFound))
			watch.Begin(newCall(table.Lookup("/user.v1.UserService/WatchUsers"), side))
			const l = `grpc_method="GetUser",grpc_service="user.v1.UserService",grpc_type="unary"`
			const w = `grpc_method="WatchUsers",grpc_service="user.v1.UserService",grpc_type="server_stream"`
			want := []string{
				`started_total{` + l + `} 2`, `started_total{` + w + `} 1`,
				`handled_total{grpc_code="NotFound",` + l + `} 1`, `handled_total{grpc_code="OK",` + l + `} 0`,
				`msg_received_total{` + l + `} 2`, `msg_sent_total{` + l + `} 1`,
				`in_flight_calls{` + l + `} 1`, `open_streams{` + w + `} 1`,
				`handling_seconds_bucket{` + l + `,le="0.025"} 0`, `handling_seconds_bucket{` + l + `,le="0.05"} 1`,
				`handling_seconds_count{` + l + `} 1`,
			}
			if side == call.Client {
				want = append(want, `attempts_total{`+l+`} 2`)
			}
			text := scrape(t, reg, "text/plain")
			for _, line := range want {
				if line = "grpc_" + side.String() + "_" + line; !strings.Contains(text, line+"\n") {
					t.Errorf("no line %s in\n%s", line, text)
				}
			}
		})
	}
}

func scrape(t *testing.T, reg *prometheus.Registry, accept string) string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	metrics.Handler(reg).ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestHistogramsAreNativeAndClassic(t *testing.T) {
	m, reg := newMetrics(t, call.Server)
	c := newCall(policy.NewTable().AddMethod("s.S", "M", policy.Unary), call.Server)
	m.Begin(c)
	m.End(ended(c, codes.OK))
	h := histogram(t, reg)
	if len(h.GetBucket()) != len(metrics.DefaultBuckets()) || len(h.GetPositiveSpan()) == 0 {
		t.Errorf("%d classic buckets and %d native spans", len(h.GetBucket()), len(h.GetPositiveSpan()))
	}
	if last := metrics.DefaultBuckets()[len(metrics.DefaultBuckets())-1]; last < 60 {
		t.Errorf("the last bucket is %v s: calls at their deadline would be hidden", last)
	}
}

func histogram(t *testing.T, reg *prometheus.Registry) *dto.Histogram {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "grpc_server_handling_seconds" {
			return f.GetMetric()[0].GetHistogram()
		}
	}
	t.Fatal("no histogram")
	return nil
}

func TestExemplarsCarryTheTraceOfSampledCallsOnly(t *testing.T) {
	id := trace.TraceID{0xab, 15: 1}
	tests := []struct {
		name  string
		flags trace.TraceFlags
		want  bool
	}{{"sampled", trace.FlagsSampled, true}, {"not sampled", 0, false}}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m, reg := newMetrics(t, call.Server)
			c := newCall(policy.NewTable().AddMethod("s.S", "M", policy.Unary), call.Server)
			c.SpanContext = trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: trace.SpanID{1}, TraceFlags: tc.flags})
			m.Begin(c)
			m.End(ended(c, codes.OK))
			text := scrape(t, reg, "application/openmetrics-text; version=1.0.0")
			if got := strings.Contains(text, `# {trace_id="`+id.String()+`"} 0.03`); got != tc.want {
				t.Errorf("exemplar there: %v\n%s", got, text)
			}
		})
	}
}

func TestHostileMethodNamesMakeNoSeries(t *testing.T) {
	m, reg := newMetrics(t, call.Server)
	table := policy.NewTable()
	method := table.AddMethod("s.S", "M", policy.Unary)
	exercise := func(names int) int {
		for i := range names {
			for code := range codes.Code(20) {
				for _, hit := range []*policy.Method{table.Lookup(fmt.Sprintf("/evil%d/x", i)), method} {
					c := newCall(hit, call.Server)
					m.Begin(c)
					m.End(ended(c, code))
				}
			}
		}
		n, err := testutil.GatherAndCount(reg)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	few, many := exercise(1), exercise(500)
	if few != many {
		t.Errorf("%d series after one unknown name, %d after 500", few, many)
	}
	// started, received, sent, seconds, a gauge, and one handled per code.
	if budget := 2 * (5 + 17); many > budget {
		t.Errorf("%d metrics for two methods, the budget is %d", many, budget)
	}
}

func TestForgottenServicesLeaveNoSeries(t *testing.T) {
	m, reg := newMetrics(t, call.Client)
	table := policy.NewTable()
	for _, service := range []string{"a.A", "b.B"} {
		c := newCall(table.AddMethod(service, "M", policy.Unary), call.Client)
		m.Begin(c)
		m.End(ended(c, codes.OK))
	}
	table.Remove("a.A")
	m.Forget("a.A")
	text := scrape(t, reg, "text/plain")
	if strings.Contains(text, `"a.A"`) || !strings.Contains(text, `"b.B"`) {
		t.Errorf("series after forgetting a.A:\n%s", text)
	}
}

func TestNilRegistererIsOff(t *testing.T) {
	m, err := metrics.New(nil, metrics.Config{})
	if m != nil || err != nil {
		t.Fatalf("got %v %v", m, err)
	}
	c := newCall(policy.NewTable().Unknown(), call.Server)
	m.Begin(c)
	m.For(c.Method).Received()
	m.For(c.Method).Sent()
	m.End(ended(c, codes.OK))
	m.Forget("x")
	if err := metrics.RegisterProcess(nil, "s", "v"); err != nil {
		t.Error(err)
	}
}

func TestRegisteringTwiceIsAnError(t *testing.T) {
	_, reg := newMetrics(t, call.Server)
	if _, err := metrics.New(reg, metrics.Config{}); err == nil || !strings.Contains(err.Error(), "server") {
		t.Errorf("got %v", err)
	}
	if err := metrics.RegisterProcess(reg, "s", "v"); err != nil {
		t.Error(err)
	}
	if err := metrics.RegisterProcess(reg, "s", "v"); err == nil {
		t.Error("no error")
	}
}

func TestConcurrentCallsAreAllCounted(t *testing.T) {
	m, reg := newMetrics(t, call.Server)
	table := policy.NewTable()
	method := table.AddMethod("s.S", "M", policy.Unary)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 200 {
				c := newCall(method, call.Server)
				m.Begin(c)
				m.End(ended(c, codes.Code(i%17)))
			}
		})
	}
	all.Wait()
	if h := histogram(t, reg); h.GetSampleCount() != 1600 {
		t.Errorf("counted %d calls of 1600", h.GetSampleCount())
	}
}

func TestTheReferenceListsEveryMetric(t *testing.T) {
	reg := prometheus.NewRegistry()
	table := policy.NewTable()
	for _, side := range []call.Side{call.Server, call.Client} {
		m, err := metrics.New(reg, metrics.Config{Side: side})
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []policy.Kind{policy.Unary, policy.BidiStream} {
			c := newCall(table.AddMethod("s.S", kind.String(), kind), side)
			m.Begin(c)
			m.End(ended(c, codes.OK))
		}
	}
	if err := metrics.RegisterProcess(reg, "s", "v"); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.HasPrefix(cells[1], " `") {
			documented[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[2]) + " " + strings.TrimSpace(cells[3])
		}
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "grpc_") && !strings.HasPrefix(f.GetName(), "keelson_") {
			continue // Go's and the process's own are documented by their library
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, "`"+l.GetName()+"`")
		}
		slices.Sort(labels)
		want := strings.ToLower(f.GetType().String()) + " " + strings.Join(labels, ", ")
		if diff := cmp.Diff(want, documented[f.GetName()]); diff != "" {
			t.Errorf("docs/metrics.md on %s: %s", f.GetName(), diff)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m, _ := newMetrics(t, call.Server)
	c := ended(newCall(policy.NewTable().AddMethod("s.S", "M", policy.Unary), call.Server), codes.OK)
	if n := testing.AllocsPerRun(1000, func() { m.Begin(c); m.End(c) }); n > 0 {
		t.Errorf("%v allocations per call", n)
	}
}

func BenchmarkBeginEnd(b *testing.B) {
	m, _ := newMetrics(b, call.Server)
	c := ended(newCall(policy.NewTable().AddMethod("s.S", "M", policy.Unary), call.Server), codes.OK)
	k := m.For(c.Method)
	b.ReportAllocs()
	for b.Loop() {
		k.Begin(c)
		k.Received()
		k.Sent()
		k.End(c)
	}
}
