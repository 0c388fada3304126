package discovery

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff yields growing pauses: each is drawn between half of a bound and the bound, and the bound doubles up to a maximum. One goroutine
// at a time.
type backoff struct {
	min, max time.Duration
	bound    time.Duration
}

func (b *backoff) reset() { b.bound = 0 }

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, b.min, time.Millisecond), max(b.max, time.Millisecond))
	return b.bound/2 + rand.N(b.bound/2+1)
}

// jitter returns d give or take a tenth.
func jitter(d time.Duration) time.Duration { return d - d/10 + rand.N(d/5+1) }

// pause waits for d and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
