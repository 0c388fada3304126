package balancer

import (
	"sync"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// upward is the connection as the wrapped policy sees it.
type upward struct {
	balancer.ClientConn
	policy *lb
}

// NewSubConn wraps the connection, so that what happens to it is seen.
func (u *upward) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	s := u.policy.newSubConn(addrs, opts.StateListener)
	opts.StateListener = s.state
	sc, err := u.ClientConn.NewSubConn(addrs, opts)
	if err != nil {
		u.policy.forget(s)
		return nil, err
	}
	s.SubConn = sc
	return s, nil
}

// RemoveSubConn implements balancer.ClientConn for policies that still call it.
func (u *upward) RemoveSubConn(sc balancer.SubConn) { sc.Shutdown() }

// UpdateAddresses implements balancer.ClientConn.
func (u *upward) UpdateAddresses(sc balancer.SubConn, addrs []resolver.Address) {
	sc.UpdateAddresses(addrs)
}

// UpdateState takes the wrapped policy's new picker.
func (u *upward) UpdateState(s balancer.State) { u.policy.pub.put(u.policy, s) }

// Pickers that do not change the state of the whole are handed over once in rebuildEvery after the first rebuildBurst: under churn they
// are gathered.
// A pick that meets a connection which an old picker does not know to be gone tries another one.
const (
	rebuildEvery = 100 * time.Millisecond
	rebuildBurst = 10
)

// publisher hands pickers to gRPC.
type publisher struct {
	mu      sync.Mutex
	last    balancer.State // of the wrapped policy
	sent    connectivity.State
	ever    bool
	free    time.Duration // each picker costs rebuildEvery of it, and it grows by itself up to rebuildBurst of them
	freeAt  time.Duration
	pending bool
}

func (u *publisher) put(p *lb, s balancer.State) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.last = s
	urgent := !u.ever || s.ConnectivityState != u.sent
	if urgent || u.wait(p.now()) <= 0 {
		u.send(p)
		return
	}
	u.pending = true
	p.poke()
}

// flush sends what is pending when it is time to, and returns how long to wait for that; 0 when nothing is pending.
func (u *publisher) flush(p *lb, now time.Duration) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.pending {
		return 0
	}
	if wait := u.wait(now); wait > 0 {
		return wait
	}
	u.send(p)
	return 0
}

// wait is how long to wait for the next picker. The caller holds the lock.
func (u *publisher) wait(now time.Duration) time.Duration {
	if !u.ever {
		u.free = rebuildBurst * rebuildEvery
	}
	u.free, u.freeAt = min(rebuildBurst*rebuildEvery, u.free+now-u.freeAt), now
	return rebuildEvery - u.free
}

// send hands the picker over; the caller holds the lock, which gRPC never needs.
func (u *publisher) send(p *lb) {
	u.wait(p.now())
	u.sent, u.ever, u.pending = u.last.ConnectivityState, true, false
	u.free = max(0, u.free-rebuildEvery)
	p.observer.Load().rebuilds.Inc()
	p.cc.UpdateState(balancer.State{ConnectivityState: u.last.ConnectivityState, Picker: p.newPicker(u.last.Picker)})
}

// fail makes calls fail with an error, before there is a list.
func (p *lb) fail(err error) {
	p.pub.mu.Lock()
	defer p.pub.mu.Unlock()
	p.cc.UpdateState(balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: base.NewErrPicker(err)})
}
