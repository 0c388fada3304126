// Package stat has the few statistics of the lab: the confidence bound of a
// proportion, and percentiles.
package stat

import (
	"math"
	"slices"
	"time"
)

// ClopperPearson returns the exact two-sided confidence interval of the
// probability behind k successes of n tries (Clopper and Pearson 1934). With no
// tries it is all of [0, 1].
func ClopperPearson(k, n int, confidence float64) (lower, upper float64) {
	alpha := 1 - confidence
	lower, upper = 0, 1
	if n == 0 {
		return lower, upper
	}
	if k > 0 {
		lower = betaQuantile(alpha/2, float64(k), float64(n-k+1))
	}
	if k < n {
		upper = betaQuantile(1-alpha/2, float64(k+1), float64(n-k))
	}
	return lower, upper
}

// betaQuantile inverts the regularised incomplete beta function by bisection.
func betaQuantile(p, a, b float64) float64 {
	low, high := 0.0, 1.0
	for range 200 {
		middle := (low + high) / 2
		if betaCDF(middle, a, b) < p {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// betaCDF is the regularised incomplete beta function I_x(a, b), by the
// continued fraction of DLMF 8.17.22, evaluated with Lentz's method.
func betaCDF(x, a, b float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (a+1)/(a+b+2):
		return 1 - betaCDF(1-x, b, a)
	}
	const tiny, enough = 1e-300, 1e-15
	f, c, d := 1.0, 1.0, 0.0
	for i := range 10_000 {
		m := float64(i / 2)
		var numerator float64
		switch {
		case i == 0:
			numerator = 1
		case i%2 == 0:
			numerator = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			numerator = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / nonzero(1+numerator*d, tiny)
		c = nonzero(1+numerator/c, tiny)
		f *= c * d
		if math.Abs(1-c*d) < enough {
			break
		}
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return math.Exp(a*math.Log(x)+b*math.Log1p(-x)+lab-la-lb) / a * (f - 1)
}

func nonzero(x, tiny float64) float64 {
	if math.Abs(x) < tiny {
		return tiny
	}
	return x
}

// Latencies are percentiles of one set of durations; all zero when it is empty.
type Latencies struct {
	Count               int
	P50, P90, P99, P999 time.Duration
	Max                 time.Duration
}

// Percentiles sorts the durations in place and returns their percentiles, by
// the nearest-rank method: nothing is rounded into buckets.
func Percentiles(d []time.Duration) Latencies {
	if len(d) == 0 {
		return Latencies{}
	}
	slices.Sort(d)
	at := func(p float64) time.Duration { return d[max(0, int(math.Ceil(p*float64(len(d))))-1)] }
	return Latencies{Count: len(d), P50: at(.5), P90: at(.9), P99: at(.99), P999: at(.999), Max: d[len(d)-1]}
}

// Median returns the median of the values, the mean of the two in the middle
// when their number is even; 0 when there are none.
func Median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
