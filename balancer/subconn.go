package balancer

import (
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// subConn is one connection to an instance: what gRPC says of it goes to the wrapped policy by way of the policy's queue, and while the
// instance is out the wrapped policy is told that its health check fails.
type subConn struct {
	balancer.SubConn
	policy *lb
	inst   *instance
	conn   tracked
	listen func(balancer.SubConnState)

	up         atomic.Bool   // the connection is up
	serving    atomic.Bool   // and the instance says that it serves
	leaving    atomic.Int64  // since when, by the policy's clock, it says that it serves no longer, as an instance that drains does; 0: it does not
	generation atomic.Uint64 // counts connections, so that the health of an old one is not taken for that of a new one

	// What follows is guarded by the policy's lock down.
	health    func(balancer.SubConnState) // the wrapped policy's, nil while the connection is not up
	healthNow balancer.SubConnState

	told atomic.Bool // that the instance is out; written under down
}

// leavingTime is how long an instance that serves no longer may get calls for
// want of another one: one that says so for longer does not drain.
const leavingTime = 10 * time.Second

// tracked is the entry of the connection in the target's live state; without one it does nothing.
type tracked struct{ conn *target.Conn }

func (t tracked) set(s connectivity.State, h target.Health) {
	if t.conn != nil {
		t.conn.Set(s, h)
	}
}

func (t tracked) close() {
	if t.conn != nil {
		t.conn.Close()
	}
}

func (p *lb) newSubConn(addrs []resolver.Address, listen func(balancer.SubConnState)) *subConn {
	s := &subConn{policy: p, listen: listen}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(addrs) > 0 {
		s.inst = p.instances[addrs[0].Addr]
	}
	if s.inst == nil { // the list changed meanwhile, or has no addresses; it is on its way out
		address := ""
		if len(addrs) > 0 {
			address = addrs[0].Addr
		}
		p.nextID++
		s.inst = newInstance(p, p.nextID, address, target.Instance{ID: address, Address: address})
	} else if live := p.liveOf(target.Instance{Address: addrs[0].Addr}, s.inst.address); live != nil {
		s.conn.conn = live.Track()
	}
	p.subs = append(p.subs, s)
	return s
}

func (p *lb) forget(s *subConn) {
	s.conn.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subs = slices.DeleteFunc(p.subs, func(o *subConn) bool { return o == s })
}

// state hears of the connection from gRPC.
func (s *subConn) state(st balancer.SubConnState) {
	s.generation.Add(1)
	s.setServing(st.ConnectivityState == connectivity.Ready && s.policy.unchecked.Load(), st.ConnectivityState)
	s.up.Store(st.ConnectivityState == connectivity.Ready)
	s.leaving.Store(0)
	s.inst.reconnected(s.policy.now(), st.ConnectivityState == connectivity.Ready)
	s.conn.set(st.ConnectivityState, target.HealthUnknown)
	if st.ConnectivityState == connectivity.Shutdown {
		s.policy.forget(s)
	}
	s.policy.enqueue(event{sub: s, state: st})
}

// RegisterHealthListener implements balancer.SubConn: the wrapped policy calls it when it hears that the connection is up.
func (s *subConn) RegisterHealthListener(listen func(balancer.SubConnState)) {
	s.health = listen
	s.healthNow = balancer.SubConnState{ConnectivityState: connectivity.Connecting}
	if listen == nil || !s.up.Load() {
		s.SubConn.RegisterHealthListener(nil)
		return
	}
	generation := s.generation.Load()
	s.SubConn.RegisterHealthListener(func(st balancer.SubConnState) {
		if generation != s.generation.Load() {
			return
		}
		s.leave(st.ConnectivityState == connectivity.Ready)
		s.setServing(st.ConnectivityState == connectivity.Ready, st.ConnectivityState)
		s.conn.set(connectivity.Ready, healthOf(st.ConnectivityState))
		s.policy.enqueue(event{sub: s, state: st, health: true, generation: generation})
	})
}

// leave notes when an instance that served over this connection ends to, or
// begins again.
func (s *subConn) leave(serving bool) {
	if serving {
		s.leaving.Store(0)
	} else if s.serving.Load() {
		s.leaving.Store(max(1, int64(s.policy.now())))
	}
}

// leaves tells whether the instance has said so for no longer than a drain takes.
func (s *subConn) leaves(now time.Duration) bool {
	since := s.leaving.Load()
	return since != 0 && now-time.Duration(since) < leavingTime && s.up.Load()
}

func (s *subConn) setServing(serving bool, heard connectivity.State) {
	if serving || heard == connectivity.TransientFailure {
		s.inst.broken.Store(!serving)
	}
	if s.serving.Swap(serving) == serving {
		return
	}
	if serving {
		s.inst.ready.Add(1)
	} else {
		s.inst.ready.Add(-1)
	}
}

// deliver tells the wrapped policy what gRPC said. The caller holds down.
func (s *subConn) deliver(e event) {
	if !e.health {
		s.health = nil
		if s.listen != nil {
			s.listen(e.state)
		}
		return
	}
	if s.health == nil || e.generation != s.generation.Load() {
		return
	}
	s.healthNow = e.state
	s.tell(s.told.Load())
}

// tell tells the wrapped policy whether the instance is out. The caller holds down.
func (s *subConn) tell(out bool) {
	if out {
		s.told.Store(true)
		if s.health != nil {
			s.health(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure, ConnectionError: errEjected})
		}
		return
	}
	if s.health != nil {
		s.health(s.healthNow)
	}
	s.told.Store(false) // only now that calls can have it, since those that could not wait for it
}

func healthOf(s connectivity.State) target.Health {
	switch s {
	case connectivity.Ready:
		return target.HealthServing
	case connectivity.TransientFailure:
		return target.HealthNotServing
	default:
		return target.HealthUnknown
	}
}
