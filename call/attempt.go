package call

import (
	"context"
	"sync/atomic"
)

// maxTried is how many instances a call remembers.
const maxTried = 4

// tried are the instances that a call was sent to, the latest ones.
type tried [maxTried]atomic.Uint64

// Attempt accounts for one more attempt, sent to an instance, and returns its
// number, from 1. The instance is any number that is not 0 and that stays with
// it while the call lives; a balancing policy chooses it. Safe for concurrent
// use: attempts of a hedged call overlap.
func (c *Call) Attempt(instance uint64) int {
	n := c.Attempts.Add(1)
	for i := range c.tried {
		if c.tried[i].CompareAndSwap(0, instance) {
			return int(n)
		}
	}
	c.tried[uint32(n-1)%maxTried].Store(instance)
	return int(n)
}

// Unsent takes back an attempt at an instance, which found the connection gone
// and sent nothing.
func (c *Call) Unsent(instance uint64) {
	c.Attempts.Add(-1)
	for i := range c.tried {
		if c.tried[i].CompareAndSwap(instance, 0) {
			return
		}
	}
}

// Tried tells whether the call was already sent to an instance, as far as it
// remembers: the last four.
func (c *Call) Tried(instance uint64) bool {
	for i := range c.tried {
		if c.tried[i].Load() == instance {
			return true
		}
	}
	return false
}

type hedgeKey struct{}

// hedging marks the context of a hedge.
type hedging struct{ context.Context }

func (h hedging) Value(k any) any {
	if _, ok := k.(hedgeKey); ok {
		return true
	}
	return h.Context.Value(k)
}

// WithHedge marks a context as that of a second attempt, made while the first is
// under way: it is of use at another instance only.
func WithHedge(ctx context.Context) context.Context { return hedging{ctx} }

// IsHedge tells whether [WithHedge] marked the context.
func IsHedge(ctx context.Context) bool { return ctx.Value(hedgeKey{}) != nil }
