package target

import (
	"sync"

	"google.golang.org/grpc/connectivity"
)

// Health is what an instance last said about itself over its own connection.
type Health int

// The health of an instance.
const (
	// HealthUnknown means that nobody has asked, or that there is no connection to ask over.
	HealthUnknown Health = iota
	// HealthServing means that the instance serves.
	HealthServing
	// HealthNotServing means that the connection is up and the instance asks for no calls.
	HealthNotServing
)

// String gives the form shown to people: UNKNOWN, SERVING or NOT_SERVING.
func (h Health) String() string {
	switch h {
	case HealthServing:
		return "SERVING"
	case HealthNotServing:
		return "NOT_SERVING"
	default:
		return "UNKNOWN"
	}
}

// Live is the state of one instance as one client sees it, over all of the client's connections to it. Safe for concurrent use.
type Live struct {
	traffic  Traffic
	mu       sync.Mutex
	instance Instance
	held     bool
	conns    map[*Conn]struct{}
	balances map[*func() Balance]struct{}
}

func newLive(in Instance) *Live { return &Live{instance: in, conns: make(map[*Conn]struct{})} }

// Instance returns what the resolver last said about the instance.
func (l *Live) Instance() Instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.instance
}

// Traffic counts the attempts at the instance, over all connections; the balancing policy does.
func (l *Live) Traffic() *Traffic { return &l.traffic }

func (l *Live) update(in Instance, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instance, l.held = in, held
}

// inUse tells whether a connection or a policy still reports on the instance.
func (l *Live) inUse() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)+len(l.balances) > 0
}

// Track adds a connection to the instance. The caller owns it, reports its state with Set and ends it with Close.
func (l *Live) Track() *Conn {
	c := &Conn{live: l, state: connectivity.Idle}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	return c
}

// Usable reports whether some connection is up to an instance that does not ask to be left alone. observed is false when nobody
// tracks a connection to it: then nothing is known.
func (l *Live) Usable() (usable, observed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state, health := l.best()
	return state == connectivity.Ready && health != HealthNotServing, len(l.conns) > 0
}

// best is the state of the best connection; the caller holds the lock.
func (l *Live) best() (connectivity.State, Health) {
	state, health := connectivity.Shutdown, HealthUnknown
	for c := range l.conns {
		if r := rank(c.state, c.health); state == connectivity.Shutdown || r > rank(state, health) {
			state, health = c.state, c.health
		}
	}
	return state, health
}

func rank(s connectivity.State, h Health) int {
	switch {
	case s == connectivity.Ready && h != HealthNotServing:
		return 4
	case s == connectivity.Ready:
		return 3
	case s == connectivity.Connecting:
		return 2
	case s == connectivity.Idle:
		return 1
	default:
		return 0
	}
}

func (l *Live) snapshot() InstanceSnapshot {
	balance := l.balance()
	l.mu.Lock()
	defer l.mu.Unlock()
	state, health := l.best()
	s := InstanceSnapshot{Instance: l.instance, Held: l.held, Connections: len(l.conns), Connection: "NONE", Health: health.String(), Balance: balance, Traffic: &l.traffic}
	if len(l.conns) > 0 {
		s.Connection = state.String()
	}
	return s
}

// Conn is one connection to an instance, reported by whoever owns it. Safe for concurrent use.
type Conn struct {
	live   *Live
	state  connectivity.State
	health Health
}

// Set reports the state of the connection and what the instance says about itself. After Close it does nothing.
func (c *Conn) Set(s connectivity.State, h Health) {
	c.live.mu.Lock()
	defer c.live.mu.Unlock()
	c.state, c.health = s, h
}

// Close forgets the connection. It may be called more than once.
func (c *Conn) Close() {
	c.live.mu.Lock()
	defer c.live.mu.Unlock()
	delete(c.live.conns, c)
}
