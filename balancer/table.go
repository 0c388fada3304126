package balancer

import (
	"math/rand/v2"
	"slices"

	"github.com/keelson-dev/keelson/call"
)

// table is the list of connections that calls may take, for picks that the wrapped policy does not settle: it knows nothing of factors and
// of what a call has tried, and some policies choose the same instance again and again. It is replaced, never changed; what has changed
// since is found out when an entry is chosen.
type table struct {
	subs []*subConn
	sums []uint64 // of the shares up to each
}

func newTable(subs []*subConn, panicking bool) *table {
	t := &table{subs: make([]*subConn, 0, len(subs)), sums: make([]uint64, 0, len(subs))}
	sum := uint64(0)
	for _, s := range subs {
		share := s.inst.share.Load()
		if panicking {
			share = s.inst.base.Load()
		} else if s.inst.open() {
			continue
		}
		if share == 0 || !s.serving.Load() {
			continue
		}
		sum += uint64(share)
		t.subs, t.sums = append(t.subs, s), append(t.sums, sum)
	}
	return t
}

const tableTries = 4

// pick chooses the less busy of two that may take the call, drawn by their shares; nil if none is found.
func (t *table) pick(c *call.Call, panicking bool) *subConn {
	if len(t.subs) == 0 {
		return nil
	}
	var found *subConn
	for range tableTries {
		s := t.draw()
		if !s.serving.Load() || c != nil && c.Tried(s.inst.id) || !panicking && !s.inst.closed() {
			continue
		}
		if found == nil {
			found = s
			continue
		}
		if s.inst.load() < found.inst.load() {
			found = s
		}
		break
	}
	if found == nil {
		found = t.search(c, panicking)
	}
	return found
}

func (t *table) draw() *subConn {
	at := rand.Uint64N(t.sums[len(t.sums)-1])
	i, _ := slices.BinarySearchFunc(t.sums, at, func(sum, at uint64) int {
		if sum <= at {
			return -1
		}
		return 1
	})
	return t.subs[i]
}

// searchAtMost bounds a search that luck has not ended.
const searchAtMost = 64

func (t *table) search(c *call.Call, panicking bool) *subConn {
	n := len(t.subs)
	start := rand.IntN(n)
	for k := range min(n, searchAtMost) {
		s := t.subs[(start+k)%n]
		if s.serving.Load() && !(c != nil && c.Tried(s.inst.id)) && (panicking || s.inst.closed()) {
			return s
		}
	}
	return nil
}
