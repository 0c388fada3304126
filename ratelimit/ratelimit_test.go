package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/ratelimit"
)

const get = "/shop.v1.Shop/Get"

// shop returns a table with two methods, and how to set the first one's rates.
func shop(t testing.TB, o policy.Override) (*policy.Table, func(policy.Override)) {
	t.Helper()
	table := policy.NewTable()
	table.AddMethod("shop.v1.Shop", "Get", policy.Unary)
	table.AddMethod("shop.v1.Shop", "Watch", policy.ServerStream)
	apply := func(o policy.Override) {
		t.Helper()
		o.Method = get
		if err := table.Apply(policy.Defaults{}, []policy.Override{o}); err != nil {
			t.Fatal(err)
		}
	}
	apply(o)
	return table, apply
}

func limiter(t testing.TB, cfg ratelimit.Config) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// clock is the time of the calls; it goes on when told to.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (k *clock) advance(d time.Duration) { k.now = k.now.Add(d) }

func (k *clock) from(table *policy.Table, ip string) *call.Call {
	c := &call.Call{Context: context.Background(), Method: table.Lookup(get), Start: k.now}
	if ip != "" {
		c.Peer = &net.TCPAddr{IP: net.ParseIP(ip), Port: 4711}
	}
	return c
}

// admitted counts how many of n calls by one caller are let in now.
func (k *clock) admitted(l *ratelimit.Limiter, table *policy.Table, ip string, n int) (in int) {
	for range n {
		if l.Allow(k.from(table, ip)) == nil {
			in++
		}
	}
	return in
}

func TestAMethodAdmitsItsBurstAndThenItsRate(t *testing.T) {
	table, _ := shop(t, policy.Override{Rate: 10, Burst: 5})
	k := newClock()
	l := limiter(t, ratelimit.Config{})
	if got := k.admitted(l, table, "10.0.0.1", 20); got != 5 {
		t.Errorf("%d of the burst", got)
	}
	k.advance(300 * time.Millisecond)
	if got := k.admitted(l, table, "10.0.0.2", 20); got != 3 {
		t.Errorf("%d after 300 ms", got)
	}
	k.advance(time.Hour)
	if got := k.admitted(l, table, "10.0.0.1", 20); got != 5 {
		t.Errorf("%d after an hour", got)
	}
}

func TestACallTooManySaysWhoseQuotaAndWhenToRetry(t *testing.T) {
	for name, tc := range map[string]struct {
		limits  policy.Override
		subject string
		limit   string
	}{
		"of the method": {policy.Override{Rate: 4, Burst: 1}, "method:" + get, "method"},
		"of the caller": {policy.Override{CallerRate: 4, CallerBurst: 1}, "caller:10.0.0.1", "caller"},
	} {
		t.Run(name, func(t *testing.T) {
			table, _ := shop(t, tc.limits)
			k := newClock()
			l := limiter(t, ratelimit.Config{})
			k.admitted(l, table, "10.0.0.1", 1)
			k.advance(50 * time.Millisecond)
			err := l.Allow(k.from(table, "10.0.0.1"))
			if !errors.Is(err, errs.ResourceExhausted(errs.ReasonRateLimited, "")) {
				t.Fatalf("answered %v", err)
			}
			e := errs.From(err)
			if q := e.Quotas(); len(q) != 1 || q[0].GetSubject() != tc.subject || q[0].GetDescription() != "4 calls per second, 1 at once" {
				t.Errorf("quotas %v", q)
			}
			if e.Meta("limit") != tc.limit || e.Meta("method") != get {
				t.Errorf("metadata %v", e.Metadata())
			}
			wait, ok := e.RetryAfter()
			if !ok || wait.Round(time.Microsecond) != 200*time.Millisecond {
				t.Errorf("retry after %v", wait)
			}
			k.advance(wait + time.Microsecond)
			if err := l.Allow(k.from(table, "10.0.0.1")); err != nil {
				t.Errorf("refused after the time that RetryInfo says: %v", err)
			}
		})
	}
}

func TestCallersAreLimitedOneByOne(t *testing.T) {
	table, _ := shop(t, policy.Override{Rate: 100, Burst: 5, CallerRate: 1, CallerBurst: 2})
	k := newClock()
	l := limiter(t, ratelimit.Config{})
	if got := k.admitted(l, table, "10.0.0.1", 100); got != 2 {
		t.Errorf("%d of the first caller", got)
	}
	if got := k.admitted(l, table, "10.0.0.2", 100); got != 2 {
		t.Errorf("%d of the second: the first one's refusals took the method's tokens", got)
	}
	if got := k.admitted(l, table, "10.0.0.3", 100); got != 1 {
		t.Errorf("%d of the third: the method's limit does not hold", got)
	}
}

func TestWhoTheCallerIs(t *testing.T) {
	table, _ := shop(t, policy.Override{CallerRate: 1, CallerBurst: 1})
	k := newClock()
	peers := map[string]net.Addr{
		"no peer":             nil,
		"IPv4":                &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1},
		"IPv6":                &net.TCPAddr{IP: net.ParseIP("fd00::1"), Port: 1},
		"a socket":            &net.UnixAddr{Name: "/run/x", Net: "unix"},
		"an address as text":  textAddr("10.0.0.9:77"),
		"another one as text": textAddr("bufconn"),
	}
	l := limiter(t, ratelimit.Config{})
	for name, p := range peers {
		c := k.from(table, "")
		c.Peer = p
		if err := l.Allow(c); err != nil {
			t.Errorf("%s shares a bucket: %v", name, err)
		}
		if l.Allow(c) == nil {
			t.Errorf("%s has no bucket", name)
		}
	}
	mapped := k.from(table, "")
	mapped.Peer = &net.TCPAddr{IP: net.ParseIP("::ffff:10.0.0.1"), Port: 2}
	if l.Allow(mapped) == nil {
		t.Error("an IPv4 address mapped into IPv6 or another port is another caller")
	}
	if l.Callers() != len(peers) {
		t.Errorf("%d buckets", l.Callers())
	}

	byID := limiter(t, ratelimit.Config{Caller: func(c *call.Call) string { return c.CorrelationID }})
	a, b := k.from(table, "10.0.0.1"), k.from(table, "10.0.0.1")
	a.CorrelationID, b.CorrelationID = "a", "b"
	if byID.Allow(a) != nil || byID.Allow(b) != nil || byID.Allow(a) == nil {
		t.Error("the configured name of the caller is not used")
	}
}

type textAddr string

func (a textAddr) Network() string { return "test" }
func (a textAddr) String() string  { return string(a) }

func TestTheBucketsOfCallersAreBounded(t *testing.T) {
	table, _ := shop(t, policy.Override{CallerRate: 0.001, CallerBurst: 1})
	k := newClock()
	for _, most := range []int{1, 10, 5000} {
		l := limiter(t, ratelimit.Config{MaxCallers: most})
		for i := range 3 * most {
			k.admitted(l, table, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), 1)
		}
		if got := l.Callers(); got > most || got < most*9/10 {
			t.Errorf("%d buckets, at most %d", got, most)
		}
	}
	l := limiter(t, ratelimit.Config{MaxCallers: 2})
	k.admitted(l, table, "10.0.0.1", 1)
	k.admitted(l, table, "10.0.0.2", 1)
	k.admitted(l, table, "10.0.0.1", 1) // refused, and still a use
	k.admitted(l, table, "10.0.0.3", 1) // the second one goes
	if k.admitted(l, table, "10.0.0.1", 1) != 0 {
		t.Error("the caller that was seen last was forgotten")
	}
	if k.admitted(l, table, "10.0.0.2", 1) != 1 {
		t.Error("the idle caller was kept")
	}
}

func TestAReloadHoldsFromTheNextCall(t *testing.T) {
	for name, of := range map[string]func(rate float64, burst int) policy.Override{
		"method": func(rate float64, burst int) policy.Override { return policy.Override{Rate: rate, Burst: burst} },
		"caller": func(rate float64, burst int) policy.Override {
			return policy.Override{CallerRate: rate, CallerBurst: burst}
		},
	} {
		t.Run(name, func(t *testing.T) {
			table, apply := shop(t, of(1, 1))
			k := newClock()
			l := limiter(t, ratelimit.Config{})
			if got := k.admitted(l, table, "10.0.0.1", 5); got != 1 {
				t.Errorf("%d at first", got)
			}
			apply(of(10, 10))
			if got := k.admitted(l, table, "10.0.0.1", 5); got != 0 {
				t.Errorf("%d by the reload alone", got)
			}
			k.advance(time.Second)
			if got := k.admitted(l, table, "10.0.0.1", 50); got != 10 {
				t.Errorf("%d at the larger rate", got)
			}
			k.advance(time.Minute)
			apply(of(2, 0))
			if got := k.admitted(l, table, "10.0.0.1", 50); got != 2 {
				t.Errorf("%d at the smaller rate", got)
			}
			apply(policy.Override{})
			if got := k.admitted(l, table, "10.0.0.1", 50); got != 50 {
				t.Errorf("%d without a limit", got)
			}
		})
	}
}

func TestAFractionalRateHasABurstOfOne(t *testing.T) {
	table, _ := shop(t, policy.Override{Rate: 0.5})
	k := newClock()
	l := limiter(t, ratelimit.Config{})
	if got := k.admitted(l, table, "", 5); got != 1 {
		t.Errorf("%d at once", got)
	}
	if wait, _ := errs.From(l.Allow(k.from(table, ""))).RetryAfter(); wait.Round(time.Millisecond) != 2*time.Second {
		t.Errorf("retry after %v", wait)
	}
}

func TestAllowedCallsCostNoAllocation(t *testing.T) {
	for name, o := range map[string]policy.Override{
		"no limit": {}, "method": {Rate: 1e9, Burst: 1e9}, "caller": {CallerRate: 1e9, CallerBurst: 1e9},
		"both": {Rate: 1e9, Burst: 1e9, CallerRate: 1e9, CallerBurst: 1e9},
	} {
		t.Run(name, func(t *testing.T) {
			table, _ := shop(t, o)
			k := newClock()
			l := limiter(t, ratelimit.Config{})
			c := k.from(table, "10.0.0.1")
			if n := testing.AllocsPerRun(100, func() {
				if l.Allow(c) != nil {
					t.Error("refused")
				}
			}); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

func TestConcurrentCallsTakeNoMoreThanThereIs(t *testing.T) {
	table, apply := shop(t, policy.Override{Rate: 1, Burst: 100, CallerRate: 1, CallerBurst: 60})
	k := newClock()
	l := limiter(t, ratelimit.Config{})
	var in atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { in.Add(int64(k.admitted(l, table, fmt.Sprintf("10.0.0.%d", i%2), 50))) })
	}
	wg.Wait()
	if in.Load() != 100 {
		t.Errorf("%d admitted", in.Load())
	}
	for i := range 4 {
		wg.Go(func() { apply(policy.Override{Rate: float64(i + 1), CallerRate: 1}) })
		wg.Go(func() { k.admitted(l, table, "10.0.0.1", 50) })
	}
	wg.Wait()
}

func TestAForgottenMethodStartsAnew(t *testing.T) {
	table, _ := shop(t, policy.Override{Rate: 1, Burst: 1})
	k := newClock()
	l := limiter(t, ratelimit.Config{})
	k.admitted(l, table, "", 1)
	l.Forget(table.Lookup(get))
	if k.admitted(l, table, "", 1) != 1 {
		t.Error("the bucket is still there")
	}
}

func TestANegativeBoundIsRefused(t *testing.T) {
	if _, err := ratelimit.New(ratelimit.Config{MaxCallers: -1}); err == nil {
		t.Error("taken")
	}
}

type fakeStream struct {
	grpc.ServerStream
	ctx     context.Context
	trailer metadata.MD
}

func (s *fakeStream) Context() context.Context    { return s.ctx }
func (s *fakeStream) SetTrailer(md metadata.MD)   { s.trailer = metadata.Join(s.trailer, md) }
func (s *fakeStream) Method() string              { return get }
func (s *fakeStream) SetHeader(metadata.MD) error { return nil }

type transport struct{ *fakeStream }

func (s transport) SendHeader(metadata.MD) error    { return nil }
func (s transport) SetTrailer(md metadata.MD) error { s.fakeStream.SetTrailer(md); return nil }

func TestInterceptorsRefuseBeforeTheHandler(t *testing.T) {
	table, _ := shop(t, policy.Override{CallerRate: 1, CallerBurst: 1})
	k := newClock()
	ctx := peer.NewContext(context.Background(), &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1)}})
	ss := &fakeStream{ctx: ctx}
	for name, once := range map[string]func(l *ratelimit.Limiter, method string) error{
		"unary": func(l *ratelimit.Limiter, method string) error {
			ctx := grpc.NewContextWithServerTransportStream(ctx, transport{ss})
			_, err := l.UnaryServer(table)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, nil })
			return err
		},
		"unary, with a record": func(l *ratelimit.Limiter, method string) error {
			ctx := grpc.NewContextWithServerTransportStream(k.from(table, "10.0.0.7"), transport{ss})
			_, err := l.UnaryServer(table)(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, nil })
			return err
		},
		"stream": func(l *ratelimit.Limiter, method string) error {
			return l.StreamServer(table)(nil, ss, &grpc.StreamServerInfo{FullMethod: method}, func(any, grpc.ServerStream) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := limiter(t, ratelimit.Config{})
			ss.trailer = nil
			if err := once(l, get); err != nil || ss.trailer.Len() != 0 {
				t.Errorf("the first: %v, trailer %v", err, ss.trailer)
			}
			if err := once(l, get); errs.Code(err) != codes.ResourceExhausted {
				t.Errorf("the second: %v", err)
			}
			if got := ss.trailer.Get(ratelimit.PushbackKey); len(got) != 1 || got[0] != "-1" {
				t.Errorf("trailer %v", ss.trailer)
			}
			for range 10 {
				if err := once(l, "/grpc.health.v1.Health/Check"); err != nil {
					t.Errorf("a health check: %v", err)
				}
			}
		})
	}
}

func Example() {
	table := policy.NewTable()
	table.AddMethod("shop.v1.Shop", "Get", policy.Unary)
	if err := table.Apply(policy.Defaults{}, []policy.Override{{Method: get, CallerRate: 0.1, CallerBurst: 2}}); err != nil {
		fmt.Println(err)
		return
	}
	l, err := ratelimit.New(ratelimit.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A server of one's own: grpc.NewServer(grpc.ChainUnaryInterceptor(l.UnaryServer(table)), ...)
	for range 3 {
		c := &call.Call{Method: table.Lookup(get), Peer: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7)}}
		fmt.Println(errs.Code(l.Allow(c)))
	}
	// Output:
	// OK
	// OK
	// ResourceExhausted
}
