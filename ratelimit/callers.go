package ratelimit

import (
	"container/list"
	"hash/maphash"
	"sync"
	"time"
)

// shards bounds the contention between callers. Few callers need one only.
const shards = 16

// callers holds the buckets of callers, at most so many, in shards that each
// forget what was idle for longest.
type callers struct {
	seed   maphash.Seed
	shards []shard
}

type shard struct {
	sync.Mutex
	most    int
	buckets map[key]*list.Element
	recent  list.List // of *entry, used last first
}

type entry struct {
	key    key
	bucket *bucket
}

func (c *callers) init(most int) {
	n := shards
	if most < 64*shards {
		n = 1
	}
	c.seed = maphash.MakeSeed()
	c.shards = make([]shard, n)
	for i := range c.shards {
		c.shards[i].most = most / n
		c.shards[i].buckets = make(map[key]*list.Element)
	}
}

func (c *callers) take(k key, s size, now time.Time) (time.Duration, bool) {
	return c.find(k, s, now).take(s, now)
}

// find returns the bucket of a caller.
func (c *callers) find(k key, s size, now time.Time) *bucket {
	sh := &c.shards[0]
	if len(c.shards) > 1 {
		sh = &c.shards[maphash.Comparable(c.seed, k)%uint64(len(c.shards))]
	}
	return sh.find(k, s, now)
}

// find returns the bucket of a caller, a full one if there is none.
func (s *shard) find(k key, full size, now time.Time) *bucket {
	s.Lock()
	defer s.Unlock()
	if e, ok := s.buckets[k]; ok {
		s.recent.MoveToFront(e)
		return e.Value.(*entry).bucket //nolint:forcetypeassert // nothing else is stored
	}
	if len(s.buckets) >= s.most {
		idle := s.recent.Back()
		delete(s.buckets, s.recent.Remove(idle).(*entry).key) //nolint:forcetypeassert // nothing else is stored
	}
	b := newBucket(full, now)
	s.buckets[k] = s.recent.PushFront(&entry{k, b})
	return b
}

func (c *callers) len() (n int) {
	for i := range c.shards {
		c.shards[i].Lock()
		n += len(c.shards[i].buckets)
		c.shards[i].Unlock()
	}
	return n
}
