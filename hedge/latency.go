package hedge

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// unit is a quarter of the finest bucket of a histogram, 100 µs.
	unit = 25 * time.Microsecond
	// cells is how many buckets there are, four for each doubling: to 104 s.
	cells = 80
	// every is how many samples there are between two looks at them, and how
	// many there must be at least.
	every = 32
	// epoch is how long samples are collected before the older half of them goes.
	epoch = 10 * time.Second
	// slowest is the part of the calls that is quicker than what counts as slow.
	slowest = 0.95
)

// latency estimates quantiles of how long the calls of the last ten to twenty
// seconds took, to a quarter; of more seconds when calls are few. Adding takes no
// lock. The zero value is ready.
type latency struct {
	added      atomic.Uint32
	current    atomic.Uint32 // which half is written
	half       [2][cells]atomic.Uint32
	p50, p95   atomic.Int64
	refreshing sync.Mutex
	since      time.Time // of the half that is written; guarded by refreshing
}

// usual returns the median, slow the 95th percentile; 0 while there are too few
// samples.
func (l *latency) usual() time.Duration { return time.Duration(l.p50.Load()) }
func (l *latency) slow() time.Duration  { return time.Duration(l.p95.Load()) }

// add adds a sample, and tells whether the quantiles were computed anew.
func (l *latency) add(took time.Duration) bool {
	l.half[l.current.Load()&1][cell(took)].Add(1)
	if l.added.Add(1)%every != 0 || !l.refreshing.TryLock() {
		return false
	}
	defer l.refreshing.Unlock()
	l.refresh(time.Now())
	return true
}

// refresh computes the quantiles, and lets the older half go when it is time.
// What others add meanwhile may be lost or counted in the other half: of
// thousands, that is nothing.
func (l *latency) refresh(now time.Time) {
	var sum [cells]uint32
	var total uint32
	for i := range sum {
		sum[i] = l.half[0][i].Load() + l.half[1][i].Load()
		total += sum[i]
	}
	l.p50.Store(int64(quantile(&sum, total, 0.5)))
	l.p95.Store(int64(quantile(&sum, total, slowest)))
	if l.since.IsZero() {
		l.since = now
	}
	if now.Sub(l.since) < epoch {
		return
	}
	l.since = now
	other := (l.current.Load() + 1) & 1
	for i := range l.half[other] {
		l.half[other][i].Store(0)
	}
	l.current.Store(other)
}

// quantile returns the upper end of the bucket in which a quantile lies.
func quantile(sum *[cells]uint32, total uint32, q float64) time.Duration {
	want := uint32(q*float64(total)) + 1
	for i, n := range sum {
		if n >= want {
			return upper(i)
		}
		want -= n
	}
	return upper(cells - 1)
}

// cell returns the bucket of a latency: the place of its highest bit, and the
// two bits after that.
func cell(took time.Duration) int {
	if took < 4*unit {
		return 0
	}
	x := uint64(took / unit)
	high := bits.Len64(x) - 3 // bits below the three that count
	return min(high*4+int(x>>high&3)+1, cells-1)
}

// upper returns the end of a bucket.
func upper(i int) time.Duration {
	if i == 0 {
		return 4 * unit
	}
	high, quarter := (i-1)/4, (i-1)%4
	return time.Duration(4+quarter+1) << high * unit
}
