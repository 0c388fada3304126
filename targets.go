package keelson

import (
	"cmp"
	"slices"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/target"
)

// TargetState is one target as a client sees it now: what /debug/keelson/targets
// shows.
type TargetState struct {
	target.Snapshot
	// LoadBalancer is gRPC's policy that chooses instances.
	LoadBalancer string `json:"load_balancer"`
	// Traffic counts the calls, however often each was sent. It is the counter
	// itself, which goes on counting.
	Traffic *target.Traffic `json:"traffic,omitzero"`
	// Methods are those that were called since the client began, ordered by name.
	Methods []CalledMethod `json:"methods"`
}

// CalledMethod is what holds at the client's end for a method of one target.
type CalledMethod struct {
	// Method is the full name.
	Method string `json:"method"`
	// Timeout, RetryAttempts and Hedge are the client's policy, with units.
	Timeout       string `json:"timeout"`
	RetryAttempts int    `json:"retry_attempts"`
	Hedge         string `json:"hedge"`
	// HedgeDelay is after how long a second instance is asked at the moment.
	HedgeDelay string `json:"hedge_delay,omitempty"`
	// Breaker is the breaker of the method at the target; nil where policy turns
	// it off.
	Breaker *breaker.Snapshot `json:"breaker,omitempty"`
}

// Targets returns the state of all targets to which the client has connections,
// ordered by name.
func (c *Client) Targets() []TargetState {
	c.mu.Lock()
	c.reap()
	called := make(map[string]*outgoing, len(c.conns))
	for _, o := range c.conns {
		called[o.target] = o
	}
	c.mu.Unlock()
	states := []TargetState{}
	for _, s := range c.targets.Snapshot() {
		state := TargetState{Snapshot: s, LoadBalancer: c.cfg.Client.LoadBalancer, Methods: []CalledMethod{}}
		if o := called[s.Target]; o != nil {
			state.Methods, state.Traffic = o.called(), &o.traffic
		}
		states = append(states, state)
	}
	return states
}

// Targets returns the state of all targets of the service's own client; see
// [Client.Targets].
func (s *Service) Targets() []TargetState { return s.client.Targets() }

// Self describes this process as its registration does. The address is known
// once the service listens: in workers and handlers, not before.
func (s *Service) Self() target.Instance {
	in := target.Instance{Service: s.name, ID: s.cfg.InstanceID, Address: s.cfg.GRPC.Advertise, Version: s.cfg.Version, Zone: s.cfg.Zone, Weight: s.cfg.Weight}
	if in.Address == "" && s.live.listener != nil {
		in.Address, _ = advertised(s.live.listener.Addr()) // what it cannot be advertised as, Run has refused
	}
	return in
}

// called describes the methods that were called.
func (o *outgoing) called() []CalledMethod {
	list := []CalledMethod{}
	for _, v := range o.methods.Range {
		m := v.(*clientMethod)
		e := m.policy.Effective()
		d := CalledMethod{
			Method: m.policy.FullName, Timeout: e.Value(policy.FieldTimeout), RetryAttempts: e.RetryAttempts, Hedge: e.Value(policy.FieldHedge),
		}
		if e.Hedge {
			d.HedgeDelay = m.hedge.Delay().String()
		}
		if e.Breaker {
			s := m.breaker.Snapshot()
			d.Breaker = &s
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b CalledMethod) int { return cmp.Compare(a.Method, b.Method) })
	return list
}
