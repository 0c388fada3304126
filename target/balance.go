package target

import (
	"cmp"
	"time"
)

// BreakerState is what the breaker of one instance lets through.
//
//	closed --(failures, a hang)--> open --(a good probe)--> half-open --(calls succeed)--> closed
//	                                 ^--------(a call fails or hangs)------'
type BreakerState uint32

// The states of an instance's breaker.
const (
	// BreakerClosed lets calls through.
	BreakerClosed BreakerState = iota
	// BreakerHalfOpen lets a few unary calls through, to see.
	BreakerHalfOpen
	// BreakerOpen keeps calls away.
	BreakerOpen
)

// String returns closed, half-open or open.
func (s BreakerState) String() string {
	switch s {
	case BreakerHalfOpen:
		return "half-open"
	case BreakerOpen:
		return "open"
	default:
		return "closed"
	}
}

// MarshalText gives the form of String.
func (s BreakerState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Balance is what a balancing policy makes of one instance.
type Balance struct {
	// Breaker is the state of the instance's breaker.
	Breaker BreakerState `json:"breaker"`
	// Factor is the share of the picks that fall on the instance and are let through, in [0,1]: 0 while the breaker is open, unless too many
	// are out and all are used.
	Factor float64 `json:"factor"`
	// Why says what makes the factor less than 1: weight, zone, returning (after it was out), latency, errors, recovery
	// (from either), suspected; joined by commas.
	Why string `json:"why,omitempty"`
	// Latency is the usual duration of its unary calls, zero before the first.
	Latency time.Duration `json:"latency_ns,omitempty"`
	// InFlight is how many calls are on their way, streams included.
	InFlight int `json:"in_flight"`
	// Ejected says why the breaker opened last: failures or hang; empty if never.
	Ejected string `json:"ejected,omitempty"`
	// EjectedAt is when that was.
	EjectedAt time.Time `json:"ejected_at,omitzero"`
}

// Observe adds a policy that balances over the instance: balance is called for each snapshot, concurrently, and must not call the Live.
// The returned function takes it away again.
func (l *Live) Observe(balance func() Balance) (stop func()) {
	key := &balance
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.balances == nil {
		l.balances = make(map[*func() Balance]struct{})
	}
	l.balances[key] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.balances, key)
	}
}

// balance is the worst that any of the client's connections makes of the instance, with their calls in flight added up; nil without any.
func (l *Live) balance() *Balance {
	l.mu.Lock()
	sources := make([]func() Balance, 0, len(l.balances))
	for f := range l.balances {
		sources = append(sources, *f)
	}
	l.mu.Unlock()
	var worst *Balance
	calls := 0
	for _, f := range sources {
		b := f()
		calls += b.InFlight
		if worst == nil || cmp.Or(cmp.Compare(b.Breaker, worst.Breaker), cmp.Compare(worst.Factor, b.Factor)) > 0 {
			worst = &b
		}
	}
	if worst != nil {
		worst.InFlight = calls
	}
	return worst
}
