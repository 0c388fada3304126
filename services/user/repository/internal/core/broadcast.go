package core

import "sync"

// Broadcast wakes all who wait for the next change, and tells them when the
// store closes. The zero value is ready; it is safe for concurrent use.
type Broadcast struct {
	mu     sync.Mutex
	next   chan struct{}
	closed bool
}

// Next returns a channel that the next Signal or Close closes, and whether
// Close was called before.
func (b *Broadcast) Next() (next <-chan struct{}, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next, b.closed
}

// Signal wakes all who wait.
func (b *Broadcast) Signal() { b.wake(false) }

// Close wakes all who wait, for good.
func (b *Broadcast) Close() { b.wake(true) }

func (b *Broadcast) wake(closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = b.closed || closed
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
