package zpages_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/zpages"
)

func newCall(id string, kind policy.Kind) *call.Call {
	return &call.Call{
		Context: context.Background(), Start: time.Now(), CorrelationID: id,
		Method: policy.NewTable().AddMethod("user.v1.UserService", "GetUser", kind),
		Peer:   &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4123},
	}
}

func page(t *testing.T, p *zpages.Pages) string {
	t.Helper()
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/calls", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("status %d, %v", w.Code, w.Header())
	}
	return w.Body.String()
}

func TestThePageShowsWhatIsInFlight(t *testing.T) {
	p := zpages.New(zpages.Config{})
	first, second := newCall("first", policy.Unary), newCall("second", policy.BidiStream)
	p.Begin(first)
	p.Begin(second)
	second.Received.Add(3)
	got := page(t, p)
	for _, want := range []string{"In flight (2)", "first", "second", "10.0.0.7:4123", "<td class=\"n\">3, 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	first.End(codes.OK, nil, time.Now())
	p.End(first)
	if got := page(t, p); strings.Contains(got, "first") || !strings.Contains(got, "In flight (1)") {
		t.Errorf("an ended call is still there: %s", got)
	}
}

func TestMoreCallsThanSlotsAreCounted(t *testing.T) {
	p := zpages.New(zpages.Config{InFlight: 8})
	var all []*call.Call
	for i := range 100 {
		c := newCall(fmt.Sprintf("call-%d", i), policy.Unary)
		p.Begin(c)
		all = append(all, c)
	}
	if got := page(t, p); !strings.Contains(got, "In flight (8 and 92 more)") {
		t.Errorf("got %s", got)
	}
	for _, c := range all {
		c.End(codes.OK, nil, time.Now())
		p.End(c)
	}
	if got := page(t, p); !strings.Contains(got, "In flight (0)") {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsRemembered(t *testing.T) {
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0xab}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled})
	tests := []struct {
		name string
		kind policy.Kind
		took time.Duration
		err  error
		code codes.Code
		sc   trace.SpanContext
		want string
	}{
		{"fast success", policy.Unary, time.Millisecond, nil, codes.OK, trace.SpanContext{}, ""},
		{"failure", policy.Unary, time.Millisecond, errors.New("<disk> is full"), codes.Internal, trace.SpanContext{}, "<h3>failed</h3>"},
		{"slow", policy.Unary, 2 * time.Second, nil, codes.OK, trace.SpanContext{}, "<h3>slow</h3>"},
		{"long stream", policy.ServerStream, time.Hour, nil, codes.OK, trace.SpanContext{}, ""},
		{"sampled", policy.Unary, time.Millisecond, nil, codes.OK, sampled, "<h3>sampled</h3>"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			p := zpages.New(zpages.Config{})
			c := newCall("order-17", tc.kind)
			c.SpanContext = tc.sc
			p.Begin(c)
			c.End(tc.code, tc.err, c.Start.Add(tc.took))
			p.End(c)
			got := page(t, p)
			if strings.Contains(got, "order-17") != (tc.want != "") || !strings.Contains(got, tc.want) {
				t.Errorf("want %q in %s", tc.want, got)
			}
			if strings.Contains(got, "<disk>") {
				t.Error("the text of an error is not escaped")
			}
		})
	}
}

func TestMemoryIsBoundedPerMethodAndTheLatestAreKept(t *testing.T) {
	p := zpages.New(zpages.Config{Keep: 4})
	method := policy.NewTable().AddMethod("s.S", "M", policy.Unary)
	for i := range 100 {
		c := newCall(fmt.Sprintf("call-%03d", i), policy.Unary)
		c.Method = method
		p.Begin(c)
		c.End(codes.Internal, errors.New(strings.Repeat("x", 10_000)), c.Start)
		p.End(c)
	}
	got := page(t, p)
	if n := strings.Count(got, "call-0"); n != 4 || !strings.Contains(got, "call-099") || strings.Index(got, "call-099") > strings.Index(got, "call-096") {
		t.Errorf("%d calls, not the latest four with the newest first", n)
	}
	if len(got) > 10_000 {
		t.Errorf("the page has %d bytes", len(got))
	}
}

func TestNilPagesAreOff(t *testing.T) {
	var p *zpages.Pages
	c := newCall("x", policy.Unary)
	p.Begin(c)
	p.End(c)
}

func TestThePageIsReadWhileCallsComeAndGo(t *testing.T) {
	p := zpages.New(zpages.Config{InFlight: 16})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 300 {
				c := newCall("x", policy.Unary)
				p.Begin(c)
				c.End(codes.Code(i%2*5), nil, time.Now())
				p.End(c)
			}
		})
	}
	for range 10 {
		page(t, p)
	}
	all.Wait()
	if got := page(t, p); !strings.Contains(got, "In flight (0)") {
		t.Error("calls are left over")
	}
}

func TestSuccessesDoNotAllocate(t *testing.T) {
	p := zpages.New(zpages.Config{})
	c := newCall("x", policy.Unary)
	c.End(codes.OK, nil, c.Start)
	if n := testing.AllocsPerRun(1000, func() { p.Begin(c); p.End(c) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkBeginEnd(b *testing.B) {
	p := zpages.New(zpages.Config{})
	c := newCall("x", policy.Unary)
	c.End(codes.OK, nil, c.Start)
	b.ReportAllocs()
	for b.Loop() {
		p.Begin(c)
		p.End(c)
	}
}
