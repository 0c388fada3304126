package rest

import (
	"context"
	"sync"
)

// backlog holds results for a client that does not read them yet: browsers read
// an answer only after they have sent their request. One goroutine puts, one
// takes.
type backlog struct {
	limit int

	mu     sync.Mutex
	items  [][]byte
	bytes  int // of those not written yet, taken or not
	closed bool
	change chan struct{} // closed, and made anew, whenever something changes
}

func newBacklog(limit int) *backlog { return &backlog{limit: limit, change: make(chan struct{})} }

func (b *backlog) changed() {
	close(b.change)
	b.change = make(chan struct{})
}

// put adds an item once less than the limit waits, so that one is always taken.
// It returns false when ctx ended first.
func (b *backlog) put(ctx context.Context, item []byte) bool {
	for {
		b.mu.Lock()
		if b.bytes < b.limit {
			b.items, b.bytes = append(b.items, item), b.bytes+len(item)
			b.changed()
			b.mu.Unlock()
			return true
		}
		wait := b.change
		b.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return false
		}
	}
}

// close tells the taker that nothing follows.
func (b *backlog) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed()
}

// take waits for items and returns all that there are. ok is false when there
// are none and none follow.
func (b *backlog) take() (items [][]byte, ok bool) {
	for {
		b.mu.Lock()
		if len(b.items) > 0 || b.closed {
			items = b.items
			b.items = nil
			b.mu.Unlock()
			return items, len(items) > 0
		}
		wait := b.change
		b.mu.Unlock()
		<-wait
	}
}

// written makes room for as many bytes.
func (b *backlog) written(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= n
	b.changed()
}
