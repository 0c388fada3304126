package balancer

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// stubConn is a gRPC connection whose instances are up as soon as they are asked to be.
type stubConn struct {
	balancer.ClientConn
	mu     sync.Mutex
	states int
	picker balancer.Picker
	fixed  balancer.Picker // the test's own, if it has one
	subs   []*stubSub
}

func (c *stubConn) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	s := &stubSub{listen: opts.StateListener, address: addrs[0].Addr}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs = append(c.subs, s)
	return s, nil
}

func (c *stubConn) UpdateState(s balancer.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states++
	c.picker = s.Picker
}

// pick returns the picker for calls.
func (c *stubConn) pick() balancer.Picker {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fixed != nil {
		return c.fixed
	}
	return c.picker
}

// pickers counts those handed over.
func (c *stubConn) pickers() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.states
}

func (c *stubConn) ResolveNow(resolver.ResolveNowOptions) {}

// stubSub is one connection.
type stubSub struct {
	balancer.SubConn
	listen  func(balancer.SubConnState)
	address string
}

func (s *stubSub) Connect()  { s.listen(balancer.SubConnState{ConnectivityState: connectivity.Ready}) }
func (s *stubSub) Shutdown() {}
func (s *stubSub) RegisterHealthListener(f func(balancer.SubConnState)) {
	if f != nil {
		f(balancer.SubConnState{ConnectivityState: connectivity.Ready})
	}
}
func (s *stubSub) GetOrBuildProducer(balancer.ProducerBuilder) (balancer.Producer, func()) {
	return nil, func() {}
}

// stubPolicy builds the policy over n instances that are up. child, if not nil, takes the place of the wrapped policy's pickers.
func stubPolicy(tb testing.TB, n int, cfg string, child func(subs []*subConn) balancer.Picker) (*lb, *stubConn) {
	tb.Helper()
	parsed, err := parse([]byte(cfg))
	if err != nil {
		tb.Fatal(err)
	}
	cc := &stubConn{}
	p := builder{}.Build(cc, balancer.BuildOptions{}).(*lb)
	tb.Cleanup(func() {
		select {
		case <-p.stopped: // the test has closed it
		default:
			p.Close()
		}
	})
	var s resolver.State
	var list []target.Entry
	for k := range n {
		address := fmt.Sprintf("10.0.%d.%d:80", k/250, k%250)
		ep := resolver.Endpoint{Addresses: []resolver.Address{{Addr: address}}}
		in := target.Instance{ID: address, Address: address}
		s.Endpoints, list = append(s.Endpoints, target.SetEndpoint(ep, in)), append(list, target.Entry{Instance: in})
	}
	tg := target.NewRegistry().Acquire("stub")
	tg.Apply(list)
	s = target.SetState(s, tg)
	if err := p.UpdateClientConnState(balancer.ClientConnState{ResolverState: s, BalancerConfig: parsed}); err != nil {
		tb.Fatal(err)
	}
	for !settled(p, n) {
		runtime.Gosched()
	}
	if child != nil {
		p.mu.Lock()
		subs := p.subs
		p.mu.Unlock()
		cc.fixed = p.newPicker(child(subs))
	}
	return p, cc
}

// settled tells whether all n instances are up and gRPC has been given a picker that serves: the policy hears of connections in its own
// goroutine. A picker that says more may wait for its time, which in a bubble does not pass meanwhile.
func settled(p *lb, n int) bool {
	if len(p.fallback.Load().subs) < n {
		return false
	}
	p.pub.mu.Lock()
	defer p.pub.mu.Unlock()
	return p.pub.sent == connectivity.Ready
}
