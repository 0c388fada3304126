package balancer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/target"
)

// counting gives its connections in turn and counts what becomes of its picks.
type counting struct {
	subs        []*subConn
	next        int
	open, twice atomic.Int64
	zero        atomic.Int64 // done with nothing sent: given back
	err         error
}

func (p *counting) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	if p.err != nil {
		return balancer.PickResult{}, p.err
	}
	p.next++
	p.open.Add(1)
	var once atomic.Bool
	return balancer.PickResult{SubConn: p.subs[p.next%len(p.subs)], Done: func(i balancer.DoneInfo) {
		if once.Swap(true) {
			p.twice.Add(1)
		}
		if !i.BytesSent && i.Err == nil {
			p.zero.Add(1)
		}
		p.open.Add(-1)
	}}, nil
}

var (
	errTest = status.Error(codes.Internal, "x")
	sent    = balancer.DoneInfo{BytesSent: true, BytesReceived: true}
	failed  = balancer.DoneInfo{BytesSent: true, BytesReceived: true, Err: errTest}
)

func newCall() *call.Call {
	return &call.Call{Context: context.Background(), Side: call.Client, Method: &policy.Method{FullName: "/test.v1.Test/Get"}}
}

func pickFor(t *testing.T, cc *stubConn, c *call.Call) balancer.PickResult {
	t.Helper()
	r, err := cc.pick().Pick(balancer.PickInfo{FullMethodName: c.Method.FullName, Ctx: c})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEveryPickOfTheWrappedPolicyIsReportedOnce(t *testing.T) {
	for name, prepare := range map[string]func(p *lb){
		"all are well":       func(*lb) {},
		"one is out":         func(p *lb) { p.list[0].state.Store(uint32(target.BreakerOpen)) },
		"all are out":        func(p *lb) { eachOf(p, func(i *instance) { i.state.Store(uint32(target.BreakerOpen)) }) },
		"one is half-open":   func(p *lb) { p.list[0].state.Store(uint32(target.BreakerHalfOpen)) },
		"all are thinned":    func(p *lb) { eachOf(p, func(i *instance) { i.share.Store(fullShare / 50) }) },
		"all are at nothing": func(p *lb) { eachOf(p, func(i *instance) { i.share.Store(0) }) },
		"all are away":       func(p *lb) { eachSub(p, func(s *subConn) { s.up.Store(false) }) },
		"a panic":            func(p *lb) { p.panicking.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			child := &counting{}
			p, cc := stubPolicy(t, 3, `{}`, func(subs []*subConn) balancer.Picker { child.subs = subs; return child })
			prepare(p)
			for n := range 300 {
				c := newCall()
				for range 1 + n%3 { // retries
					pickFor(t, cc, c).Done([]balancer.DoneInfo{sent, failed, {}}[n%3])
				}
			}
			if child.open.Load() != 0 || child.twice.Load() != 0 {
				t.Errorf("%d picks are still open, %d were reported twice", child.open.Load(), child.twice.Load())
			}
			eachOf(p, func(i *instance) {
				i.mu.Lock()
				defer i.mu.Unlock()
				if i.flights.Load() != 0 || i.calls.first != nil || i.calls.last != nil {
					t.Errorf("%s has calls in flight: %d", i.address, i.flights.Load())
				}
			})
		})
	}
}

func eachOf(p *lb, do func(*instance)) {
	for _, i := range p.instancesNow() {
		do(i)
	}
}

func eachSub(p *lb, do func(*subConn)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.subs {
		do(s)
	}
}

func TestAttemptsOfOneCallGoToDifferentInstances(t *testing.T) {
	child := &counting{}
	_, cc := stubPolicy(t, 3, `{}`, func(subs []*subConn) balancer.Picker { child.subs = subs[:1]; return child }) // always the same
	for range 100 {
		c, seen := newCall(), map[balancer.SubConn]bool{}
		for range 3 {
			r := pickFor(t, cc, c)
			defer r.Done(sent)
			seen[r.SubConn] = true
		}
		if len(seen) != 3 || c.Attempts.Load() != 3 {
			t.Fatalf("%d attempts went to %d instances", c.Attempts.Load(), len(seen))
		}
	}
}

func TestWhatWasNotSentIsNoAttempt(t *testing.T) {
	for name, tc := range map[string]struct {
		end       balancer.DoneInfo
		elsewhere bool
	}{
		"the connection was not up": {},
		"the connection broke":      {balancer.DoneInfo{Err: status.Error(codes.Unavailable, "transport is closing")}, true},
		"it took nothing in time":   {balancer.DoneInfo{Err: status.Error(codes.DeadlineExceeded, "")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, cc := stubPolicy(t, 2, `{}`, func(subs []*subConn) balancer.Picker { return &counting{subs: subs} })
			c := newCall()
			first := pickFor(t, cc, c)
			first.Done(tc.end)
			if c.Attempts.Load() != 0 {
				t.Errorf("%d attempts", c.Attempts.Load())
			}
			second := pickFor(t, cc, c)
			second.Done(sent)
			if c.Attempts.Load() != 1 || tc.elsewhere && second.SubConn == first.SubConn {
				t.Errorf("%d attempts, the last one at another instance: %v", c.Attempts.Load(), second.SubConn != first.SubConn)
			}
		})
	}
}

func TestErrorsOfTheWrappedPolicyPassUnchanged(t *testing.T) {
	for _, want := range []error{balancer.ErrNoSubConnAvailable, errors.New("connection refused")} {
		_, cc := stubPolicy(t, 1, `{}`, func([]*subConn) balancer.Picker { return &counting{err: want} })
		if _, err := cc.pick().Pick(balancer.PickInfo{FullMethodName: "/a/b", Ctx: t.Context()}); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestPickAllocatesOnce(t *testing.T) {
	_, cc := stubPolicy(t, 3, `{}`, func(subs []*subConn) balancer.Picker { return &turns{subs: subs} })
	c := newCall()
	info := balancer.PickInfo{FullMethodName: c.Method.FullName, Ctx: c}
	n := testing.AllocsPerRun(1000, func() {
		c.Attempts.Store(0)
		r, err := cc.pick().Pick(info)
		if err != nil {
			t.Fatal(err)
		}
		r.Done(sent)
	})
	if n > 1 { // gobreaker's
		t.Errorf("%v allocations", n)
	}
}

func TestHalfOpenInstanceGetsOnlyUnaryCallsThatMayBeRepeated(t *testing.T) {
	once := &policy.Method{FullName: "/test.v1.Test/Once"}
	for name, tc := range map[string]struct {
		c    *call.Call
		m    *method
		want verdict
	}{
		"unary, nothing known":  {nil, &method{unary: true}, admitted},
		"unary, repeatable":     {&call.Call{Method: once}, &method{unary: true}, admitted},
		"a stream":              {&call.Call{Method: once}, &method{}, refused},
		"a stream without more": {nil, &method{}, refused},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := stubPolicy(t, 1, `{}`, nil)
			i := p.list[0]
			i.state.Store(uint32(target.BreakerHalfOpen))
			if got := i.admit(tc.c, tc.m, false); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

func TestCallOfAnotherClientInsideAHandlerHasNoRecord(t *testing.T) {
	_, cc := stubPolicy(t, 2, `{}`, func(subs []*subConn) balancer.Picker { return &counting{subs: subs} })
	handler := newCall()
	handler.Side = call.Server
	for range 3 {
		pickFor(t, cc, handler).Done(sent)
	}
	if n := handler.Attempts.Load(); n != 0 {
		t.Errorf("the handler's own call counts %d attempts", n)
	}
}

func TestStreamThatItsClientEndsSaysNothingAboutASilence(t *testing.T) {
	stream := &method{stream: true}
	for name, tc := range map[string]struct {
		m     *method
		code  codes.Code
		heard bool
	}{
		"a unary call is answered": {&method{unary: true}, codes.OK, true},
		"a stream ends well":       {stream, codes.OK, true},
		"the other side ends one":  {stream, codes.Unavailable, true},
		"its client cancels one":   {stream, codes.Canceled, false},
		"one is out of time":       {stream, codes.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := silence{since: 1, lost: 1}
			u.hear(&flight{method: tc.m, start: 2}, 10, sent, tc.code, true)
			if heard := u.since == 0; heard != tc.heard {
				t.Errorf("heard %t: %+v", heard, u)
			}
		})
	}
}

func TestAddressesOfOneInstanceBecomeTwo(t *testing.T) {
	p, _ := stubPolicy(t, 1, `{}`, nil)
	parsed, err := parse([]byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	update := func(endpoints ...[]resolver.Address) {
		var s resolver.State
		for _, addresses := range endpoints {
			s.Endpoints = append(s.Endpoints, resolver.Endpoint{Addresses: addresses})
		}
		if err := p.UpdateClientConnState(balancer.ClientConnState{ResolverState: s, BalancerConfig: parsed}); err != nil {
			t.Fatal(err)
		}
	}
	a, b := resolver.Address{Addr: "10.0.0.1:1"}, resolver.Address{Addr: "10.0.0.1:2"}
	update([]resolver.Address{a, b})
	one := p.instancesNow()[0]
	for _, order := range [][][]resolver.Address{{{a}, {b}}, {{b}, {a}}} {
		update(order...)
		list := p.instancesNow()
		if len(list) != 2 || list[0] == list[1] || list[0].id == list[1].id || list[0] != one && list[1] != one {
			t.Errorf("%v: %v", order, list)
		}
		update([]resolver.Address{a, b})
		one = p.instancesNow()[0]
	}
}
