package zpages

import (
	"slices"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/call"
)

// slot holds one call in flight. Its lock is held while the page reads the
// record, so that none is read after its call has ended.
type slot struct {
	mu   sync.Mutex
	call *call.Call
}

// probes is how many neighbouring slots a call may use.
const probes = 8

// first is the slot where the search for a call's begins: its start, mixed
// (Knuth's multiplicative hash), so that Begin and End agree without storing
// anything in the record.
func first(c *call.Call) uint64 {
	return uint64(c.Start.UnixNano()) * 0x9E3779B97F4A7C15 >> 32 //nolint:gosec // any 64 bits will do
}

// list puts a call into a free slot; when all its slots are taken it is only
// counted.
func (p *Pages) list(c *call.Call) {
	at, mask := first(c), uint64(len(p.slots)-1)
	for i := range uint64(probes) {
		s := &p.slots[(at+i)&mask]
		s.mu.Lock()
		if s.call == nil {
			s.call = c
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

func (p *Pages) unlist(c *call.Call) {
	at, mask := first(c), uint64(len(p.slots)-1)
	for i := range uint64(probes) {
		s := &p.slots[(at+i)&mask]
		s.mu.Lock()
		if s.call == c {
			s.call = nil
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}

// inFlight returns the calls in flight, the oldest first, and how many more
// there are.
func (p *Pages) inFlight(now time.Time) (listed []record, more int64) {
	for i := range p.slots {
		s := &p.slots[i]
		s.mu.Lock()
		if s.call != nil {
			r := inFlight(s.call)
			r.Duration = now.Sub(r.Start)
			listed = append(listed, r)
		}
		s.mu.Unlock()
	}
	slices.SortFunc(listed, func(a, b record) int { return a.Start.Compare(b.Start) })
	return listed, max(0, p.open.Load()-int64(len(listed)))
}
