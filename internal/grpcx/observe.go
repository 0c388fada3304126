package grpcx

import (
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/endpointsharding"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/target"
)

// ObservedRoundRobin is the name of a balancing policy that is gRPC's
// round_robin and writes the state of each connection into the target's live
// state, which the resolver attached with target.SetState, and the number of
// attempts into each call's record.
const ObservedRoundRobin = "keelson_round_robin"

// gRPC takes policies by name from one registry for the process, at
// initialisation only.
func init() { balancer.Register(observedBuilder{name: ObservedRoundRobin, inner: roundrobin.Name}) }

type observedBuilder struct{ name, inner string }

func (b observedBuilder) Name() string { return b.name }

func (b observedBuilder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	o := &observingConn{ClientConn: cc, tracked: make(map[string]*tracked)}
	return &observed{Balancer: balancer.Get(b.inner).Build(o, opts), conn: o}
}

// observed is the wrapped policy; gRPC calls it from one goroutine at a time.
type observed struct {
	balancer.Balancer
	conn *observingConn
}

func (b *observed) UpdateClientConnState(s balancer.ClientConnState) error {
	b.conn.setTarget(target.FromState(s.ResolverState))
	return b.Balancer.UpdateClientConnState(s)
}

func (b *observed) Close() {
	b.Balancer.Close()
	b.conn.close()
}

// observingConn sees what the policy asks of the connection and what it tells
// it.
type observingConn struct {
	balancer.ClientConn

	mu      sync.Mutex
	target  *target.Target
	tracked map[string]*tracked // by address
}

// tracked is the latest connection to one address.
type tracked struct {
	conn   *target.Conn
	state  connectivity.State
	health target.Health
}

func (c *observingConn) setTarget(t *target.Target) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = t
}

func (c *observingConn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tracked {
		t.conn.Close()
	}
	clear(c.tracked)
}

func (c *observingConn) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	if listen := opts.StateListener; len(addrs) == 1 && listen != nil {
		if t := c.track(addrs[0].Addr); t != nil {
			opts.StateListener = func(s balancer.SubConnState) {
				c.connection(addrs[0].Addr, t, s.ConnectivityState)
				listen(s)
			}
		}
	}
	return c.ClientConn.NewSubConn(addrs, opts)
}

// track begins to follow a connection that replaces the one followed so far.
func (c *observingConn) track(addr string) *tracked {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.target == nil {
		return nil
	}
	live := c.target.Live(addr)
	if live == nil {
		return nil
	}
	if old := c.tracked[addr]; old != nil {
		old.conn.Close()
	}
	t := &tracked{conn: live.Track(), state: connectivity.Idle}
	c.tracked[addr] = t
	return t
}

func (c *observingConn) connection(addr string, t *tracked, s connectivity.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t.state = s
	if s != connectivity.Ready {
		t.health = target.HealthUnknown
	}
	t.conn.Set(t.state, t.health)
	if s == connectivity.Shutdown {
		t.conn.Close()
		if c.tracked[addr] == t {
			delete(c.tracked, addr)
		}
	}
}

// UpdateState reads the health of each instance off the state that the policy
// reports for it: an instance whose connection is up and that is nevertheless
// failing says that it does not serve.
func (c *observingConn) UpdateState(s balancer.State) {
	children := endpointsharding.ChildStatesFromPicker(s.Picker)
	c.mu.Lock()
	for _, child := range children {
		for _, addr := range child.Endpoint.Addresses {
			if t := c.tracked[addr.Addr]; t != nil {
				t.health = healthOf(t.state, child.State.ConnectivityState)
				t.conn.Set(t.state, t.health)
			}
		}
	}
	c.mu.Unlock()
	s.Picker = countingPicker{s.Picker}
	c.ClientConn.UpdateState(s)
}

// countingPicker counts the attempts of a call in its record: gRPC picks once
// for each time that it sends a call.
type countingPicker struct{ balancer.Picker }

func (p countingPicker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	r, err := p.Picker.Pick(info)
	if err == nil {
		if c := call.From(info.Ctx); c != nil {
			c.Attempts.Add(1)
		}
	}
	return r, err
}

func healthOf(conn, instance connectivity.State) target.Health {
	switch {
	case conn != connectivity.Ready:
		return target.HealthUnknown
	case instance == connectivity.Ready:
		return target.HealthServing
	case instance == connectivity.TransientFailure:
		return target.HealthNotServing
	default:
		return target.HealthUnknown
	}
}
