package hedge

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// slots and slot are the window over which hedges are bounded.
	slots = 10
	slot  = time.Second
	// share is how many calls there must be for one hedge.
	share = 10
	// few is how many hedges there may be per second however few calls there are.
	few = 3
)

// budget bounds the hedges of one target: over the last ten seconds, one for ten
// calls, or three per second where that is more. Half of it is kept for calls that
// have waited for longer than their delay: what is merely slower than usual must
// not use up what calls at an instance that hangs will need. Counting a call takes
// no lock.
type budget struct {
	began time.Time
	calls atomic.Uint64 // of this slot
	ends  atomic.Int64  // of this slot, as time since began

	mu     sync.Mutex
	past   [slots]struct{ calls, hedges uint64 } // a ring; this slot's calls are above
	at     int
	hedges uint64 // sum of the ring
	sum    uint64 // of calls in the ring
}

func newBudget(now time.Time) *budget {
	b := &budget{began: now}
	b.ends.Store(int64(slot))
	return b
}

// call counts a call that could be hedged.
func (b *budget) call(now time.Time) {
	if int64(now.Sub(b.began)) >= b.ends.Load() {
		b.mu.Lock()
		b.roll(now)
		b.mu.Unlock()
	}
	b.calls.Add(1)
}

// take tells whether a hedge may be sent, and counts it; long tells that the call
// has waited for long.
func (b *budget) take(now time.Time, long bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	most := max((b.sum+b.calls.Load())/share, few*slots)
	if !long {
		most = (most + 1) / 2
	}
	if b.hedges >= most {
		return false
	}
	b.hedges++
	b.past[b.at].hedges++
	return true
}

// giveBack takes back a hedge that was not sent after all.
func (b *budget) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slot := &b.past[b.at]; slot.hedges > 0 {
		slot.hedges--
		b.hedges--
	}
}

// roll goes on to the slot of a time; the caller holds the mutex.
func (b *budget) roll(now time.Time) {
	late := int64(now.Sub(b.began)) - b.ends.Load()
	if late < 0 {
		return
	}
	n := b.calls.Swap(0)
	b.past[b.at].calls += n
	b.sum += n
	for range min(late/int64(slot)+1, slots) {
		b.at = (b.at + 1) % slots
		b.sum -= b.past[b.at].calls
		b.hedges -= b.past[b.at].hedges
		b.past[b.at].calls, b.past[b.at].hedges = 0, 0
	}
	b.ends.Add(late - late%int64(slot) + int64(slot))
}
