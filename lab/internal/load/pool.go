package load

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// maxWrites is after how many writes a user is left alone and another takes its
// place: a history of one key stays short enough to be checked.
const maxWrites = 40

// maxOpen is how many writes of a user may be under way at once: while nobody
// answers they pile up, and each more doubles the orders to be checked.
const maxOpen = 3

// pool is the users that are read and written. Each slot has one at a time. It
// is safe for concurrent use.
type pool struct {
	prefix string

	mu    sync.Mutex
	slots []*slot
	made  int
	names []string // of all users ever
}

// slot is one place, and what the last answer said of its user.
type slot struct {
	key     string
	created bool // or being created
	known   history.State
	writes  int
	open    int // of the writes, under way
}

func newPool(prefix string, slots int) *pool {
	p := &pool{prefix: prefix}
	for range slots {
		s := &slot{}
		p.renew(s)
		p.slots = append(p.slots, s)
	}
	return p
}

// renew puts a new user, who does not exist yet, into a slot.
func (p *pool) renew(s *slot) {
	*s = slot{key: fmt.Sprintf("users/%s-%d", p.prefix, p.made)}
	p.made++
	p.names = append(p.names, s.key)
}

// pick chooses a slot; a fifth of them get half of the calls.
func (p *pool) pick(rng *rand.Rand) int {
	if rng.IntN(2) == 0 {
		return rng.IntN(max(1, len(p.slots)/5))
	}
	return rng.IntN(len(p.slots))
}

// read returns the user of a slot, and whether it was created.
func (p *pool) read(n int) (key string, created bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slots[n].key, p.slots[n].known.Etag != ""
}

// write decides how the user of a slot is written next: a dice of 0 to 99 chooses
// among what makes sense for it.
func (p *pool) write(n, dice int) (kind history.Kind, key, ifEtag string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[n]
	if s.writes >= maxWrites || s.open >= maxOpen {
		p.renew(s)
	}
	s.writes++
	s.open++
	switch {
	case !s.created:
		s.created = true
		return history.Create, s.key, ""
	case s.known.Deleted:
		return history.Undelete, s.key, ""
	case dice < 45:
		return history.Update, s.key, s.known.Etag
	case dice < 85:
		return history.Update, s.key, ""
	case dice < 93:
		return history.Delete, s.key, ""
	default:
		return history.Delete, s.key, s.known.Etag
	}
}

// learn takes notice of a call that has ended. A user of whom a write has no
// answer is written no more: unknown outcomes would multiply.
func (p *pool) learn(n int, c *history.Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.slots[n]
	if s.key != c.Key {
		return
	}
	if c.Kind.Write() {
		s.open--
	}
	switch {
	case c.Code == codes.OK && len(c.Seen) > 0:
		s.known = c.Seen[0].State
	case c.Kind.Write() && c.Failed():
		p.renew(s)
	}
}

// keys are the users of slots that were created, for reads of many.
func (p *pool) keys(rng *rand.Rand, n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var keys []string
	for range n {
		if s := p.slots[rng.IntN(len(p.slots))]; s.known.Etag != "" {
			keys = append(keys, s.key)
		}
	}
	return keys
}

// all are the users that ever were in a slot.
func (p *pool) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.names[:len(p.names):len(p.names)]
}
