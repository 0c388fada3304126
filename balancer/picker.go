package balancer

import (
	"context"
	"math/rand/v2"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
)

// pickTries is how often the wrapped policy is asked for one call before the call goes to any instance that is fit.
const pickTries = 8

// picker asks the wrapped policy's picker, and again where the answer is not to be used.
type picker struct {
	policy *lb
	child  balancer.Picker
	tries  int
}

func (p *lb) newPicker(child balancer.Picker) *picker {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := &picker{policy: p, child: child, tries: pickTries}
	if p.cfg != nil && !p.cfg.spreads() {
		k.tries = 1 // it would choose the same again
	}
	p.refill()
	p.latest.Store(k)
	return k
}

// refill replaces the table of connections that calls may take. The caller holds the lock.
func (p *lb) refill() { p.fallback.Store(newTable(p.subs, p.panicking.Load())) }

// candidate is a pick that is kept for want of a better one.
type candidate struct {
	result  balancer.PickResult
	sub     *subConn
	verdict verdict
}

func (c *candidate) discard() {
	if c.result.Done != nil {
		c.result.Done(balancer.DoneInfo{})
	}
}

// Pick implements balancer.Picker.
func (k *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	p := k.policy
	c := recordOf(info.Ctx)
	m := p.methods.get(info.FullMethodName, c)
	panicking := p.panicking.Load()
	obs := p.observer.Load()
	var best candidate
	for range k.tries {
		r, err := k.child.Pick(info)
		if err != nil {
			if best.sub == nil {
				return k.last(info.Ctx, c, m, obs, err)
			}
			break
		}
		next := candidate{result: r}
		var ok bool
		if next.sub, ok = r.SubConn.(*subConn); !ok {
			if best.sub != nil {
				best.discard()
			}
			return r, nil // not made by us; gRPC will tell
		}
		var report func(error)
		if report, next.verdict = next.sub.admit(c, m, panicking); next.verdict == admitted {
			if best.sub != nil {
				best.discard()
			}
			return k.commit(c, m, obs, next, report), nil
		}
		obs.discarded[next.verdict].Inc()
		if best.sub != nil && best.verdict <= next.verdict {
			next.discard()
			continue
		}
		if best.sub != nil {
			best.discard()
		}
		best = next
	}
	return k.settle(info.Ctx, c, m, obs, best)
}

// last is for calls that the wrapped policy has nobody for. One that may wait, or fail, goes to an instance that says it serves no longer
// and still holds the connection: an instance that drains serves until it has told its clients otherwise with GOAWAY. So a fleet whose
// last known instance drains before the next one is known keeps nobody waiting.
//
// Else the wrapped policy's error stands. But while it does not know of an instance that is connected only because it was told that the
// instance is out, calls wait: what is left of the list is all out, and the policy is about to be told to use it. When there is a newer
// picker already, gRPC asks that one.
func (k *picker) last(ctx context.Context, c *call.Call, m *method, obs *observer, err error) (balancer.PickResult, error) {
	leaving, hidden := k.policy.unpicked()
	if hidden || k.policy.latest.Load() != k {
		err = balancer.ErrNoSubConnAvailable
	}
	if leaving == nil || c != nil && call.IsHedge(ctx) {
		return balancer.PickResult{}, err
	}
	report, ok := leaving.inst.allow(false)
	if !ok {
		return balancer.PickResult{}, err
	}
	obs.leaving.Inc()
	return k.commit(c, m, obs, candidate{sub: leaving}, report), nil
}

// unpicked looks for what the wrapped policy does not pick: an instance that is leaving, any of them, and whether there is one that serves
// and is hidden from it.
func (p *lb) unpicked() (leaving *subConn, hidden bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n, now := 0, p.now()
	for _, s := range p.subs {
		if s.told.Load() {
			hidden = hidden || s.serving.Load()
			continue
		}
		if s.leaves(now) && !s.inst.open() {
			if n++; rand.IntN(n) == 0 {
				leaving = s
			}
		}
	}
	return leaving, hidden
}

// recordOf returns the record of the call that a connection of the chassis makes. A call that another client makes inside of a handler
// has the handler's record in its context, which says nothing about it.
func recordOf(ctx context.Context) *call.Call {
	if c := call.From(ctx); c != nil && c.Side == call.Client {
		return c
	}
	return nil
}

// errNoOther ends a hedge that nobody but an instance that has the call already, or is out, could take. Being a status, it is not retried.
var errNoOther = status.Error(codes.Unavailable, "no other instance is fit for a second attempt")

// settle takes any instance that is fit, else the best pick seen, unless the attempt is a hedge.
func (k *picker) settle(ctx context.Context, c *call.Call, m *method, obs *observer, best candidate) (balancer.PickResult, error) {
	panicking := k.policy.panicking.Load()
	if sub := k.policy.fallback.Load().pick(c, panicking); sub != nil {
		if report, ok := sub.inst.allow(panicking); ok {
			best.discard()
			return k.commit(c, m, obs, candidate{sub: sub}, report), nil
		}
	}
	if c != nil && call.IsHedge(ctx) {
		best.discard()
		return balancer.PickResult{}, errNoOther
	}
	report, _ := best.sub.inst.allow(panicking)
	return k.commit(c, m, obs, best, report), nil
}

// admit tells whether the call may take the connection; report then belongs to the call.
func (s *subConn) admit(c *call.Call, m *method, panicking bool) (report func(error), v verdict) {
	if !s.up.Load() {
		return nil, away
	}
	if v = s.inst.admit(c, m, panicking); v != admitted {
		return nil, v
	}
	report, ok := s.inst.allow(panicking)
	if !ok {
		return nil, refused
	}
	return report, admitted
}

// commit sends the call.
func (k *picker) commit(c *call.Call, m *method, obs *observer, chosen candidate, report func(error)) balancer.PickResult {
	p, i := k.policy, chosen.sub.inst
	obs.picks.Inc()
	f := p.flights.Get().(*flight)
	f.inst, f.method, f.call, f.report, f.child = i, m, c, report, chosen.result.Done
	f.start, f.budget = p.now(), 0
	if c != nil {
		f.budget = c.Timeout
		n := c.Attempt(i.id)
		if obs.attempt != nil {
			obs.attempt(c, n, i.address)
		}
	}
	i.launch(f)
	if p.asleep.Load() { // after the launch, so that one of the two sees the other
		p.poke()
	}
	chosen.result.SubConn, chosen.result.Done = chosen.sub.SubConn, f.done
	return chosen.result
}
