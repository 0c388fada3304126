package history

import (
	"sync"
	"time"
)

// Clock gives times since the run's origin, on the monotonic clock.
type Clock struct{ origin time.Time }

// NewClock begins at the present.
func NewClock() Clock { return Clock{origin: time.Now()} }

// Now is the time since the origin.
func (c Clock) Now() time.Duration { return time.Since(c.origin) }

// Time is the moment that a time since the origin stands for.
func (c Clock) Time(d time.Duration) time.Time { return c.origin.Add(d) }

// Since is the time since the origin of a moment.
func (c Clock) Since(t time.Time) time.Duration { return t.Sub(c.origin) }

// Item is one item of an import.
type Item struct {
	Key   string
	Token string
	// Acks counts the acknowledgements, Failed those that were errors.
	Acks, Failed int
}

// History is everything that one row saw. Recording is safe for concurrent use;
// reading is for when the load has ended.
type History struct {
	Clock

	mu      sync.Mutex
	calls   []*Call
	streams []*Stream
	items   []*Item
	marks   []Mark
}

// Mark is a moment of the fault, such as its beginning.
type Mark struct {
	At   time.Duration
	What string
}

// New returns an empty history whose clock begins now.
func New() *History { return &History{Clock: NewClock()} }

// Record adds a call that has ended.
func (h *History) Record(c *Call) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, c)
}

// Stream adds a stream and returns it.
func (h *History) Stream(name string) *Stream {
	s := &Stream{Name: name}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streams = append(h.streams, s)
	return s
}

// Import adds the items of an import.
func (h *History) Import(items []*Item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.items = append(h.items, items...)
}

// Mark notes a moment, and returns it.
func (h *History) Mark(what string) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := Mark{At: h.Now(), What: what}
	h.marks = append(h.marks, m)
	return m.At
}

// Calls returns the calls that have ended.
func (h *History) Calls() []*Call {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[:len(h.calls):len(h.calls)]
}

// Streams returns the streams.
func (h *History) Streams() []*Stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.streams[:len(h.streams):len(h.streams)]
}

// Items returns the items of imports.
func (h *History) Items() []*Item {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.items[:len(h.items):len(h.items)]
}

// Marks returns the moments of the fault.
func (h *History) Marks() []Mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.marks[:len(h.marks):len(h.marks)]
}
