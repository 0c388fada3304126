package internal

import (
	"context"
	"sync/atomic"
	"time"
)

// countEvery is how often the gateway's own instances are counted.
const countEvery = time.Second

// counted is a number that is counted now and then, because counting costs more
// than a call may.
type counted struct {
	count func() int
	last  atomic.Int64
}

func newCounted(count func() int) *counted {
	c := &counted{count: count}
	c.last.Store(1)
	return c
}

func (c *counted) get() int { return int(c.last.Load()) }

func (c *counted) run(ctx context.Context) {
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		c.last.Store(int64(max(c.count(), 1)))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
