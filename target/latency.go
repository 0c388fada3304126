package target

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Latencies are counted in buckets whose width grows with the duration, as in HdrHistogram: each power of two from 2^10 ns to 2^37 ns is
// divided into 16 parts of equal width. So a bucket is at most a sixteenth as wide as its lower end, and the value that stands for it is
// within 3.1 % of all that is in it.
const (
	latencyParts   = 16
	latencyFrom    = 10 // 1.02 us as a power of two of nanoseconds
	latencyTo      = 37 // 137 s
	latencyBuckets = (latencyTo - latencyFrom) * latencyParts
)

// latencyBucket is the bucket of a duration; what is shorter or longer than the buckets reach is in the first or the last one.
func latencyBucket(d time.Duration) int {
	n := uint64(min(max(d, 1<<latencyFrom), 1<<latencyTo-1)) //nolint:gosec // it is positive
	power := bits.Len64(n) - 1
	return (power-latencyFrom)*latencyParts + int(n>>(power-4)&(latencyParts-1)) //nolint:gosec // at most 15
}

// latencyOf is the duration that stands for a bucket: the one whose relative distance to both ends is the same.
func latencyOf(bucket int) time.Duration {
	power, part := latencyFrom+bucket/latencyParts, bucket%latencyParts
	low := float64(uint64(latencyParts+part) << (power - 4)) //nolint:gosec // both are small
	high := low + float64(uint64(1)<<(power-4))
	return time.Duration(2 * low * high / (low + high))
}

// latencies is the histogram that calls write.
type latencies [latencyBuckets]atomic.Uint32

func (l *latencies) observe(d time.Duration) { l[latencyBucket(d)].Add(1) }

// Latency is a histogram of durations between 1 us and 137 s, as a plain value of fixed size. The zero value is empty. A bucket's count
// begins anew after 2^32; differences stay right.
type Latency [latencyBuckets]uint32

// Add adds those of o.
func (l *Latency) Add(o *Latency) {
	for i := range l {
		l[i] += o[i]
	}
}

// Sub takes those of an earlier state away, which leaves what came since.
func (l *Latency) Sub(earlier *Latency) {
	for i := range l {
		l[i] -= earlier[i]
	}
}

// Count is how many durations there are.
func (l *Latency) Count() uint64 {
	n := uint64(0)
	for _, c := range l {
		n += uint64(c)
	}
	return n
}

// Quantile returns the duration that the part q of all, in (0,1], does not exceed (by nearest rank), to within 3.1 %; zero when there are
// none.
func (l *Latency) Quantile(q float64) time.Duration {
	n := l.Count()
	if n == 0 {
		return 0
	}
	rank := max(1, uint64(math.Ceil(q*float64(n))))
	seen := uint64(0)
	for i, c := range l {
		if seen += uint64(c); seen >= rank {
			return latencyOf(i)
		}
	}
	return latencyOf(latencyBuckets - 1)
}
