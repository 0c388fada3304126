package balancer

import (
	"math"
	"time"
)

const (
	// scoreCap is how many observations of latency are remembered at most, so that at high rates a change is seen at once, and scoreAge
	// after how long they have faded to a third, so that at low rates they are not believed for ever.
	scoreCap = 50
	scoreAge = 4 * time.Second
	// failureAge is after how long failures and successes have faded to a third.
	failureAge = 5 * time.Second
	// failureCap is how many of them are remembered at most.
	failureCap = 100
)

// score is what an instance's latest calls say about it, newer ones counting more. Guarded by the instance's lock.
type score struct {
	// Of each answered unary call: the logarithm of its duration against what is usual for its method; weights, sums, sums of squares, and
	// the logarithm of the duration itself.
	weight, sum, squares, logs float64
	// Of all calls that say something: how many, and how many of them failed.
	total, bad float64
	fadedAt    time.Duration
}

func (s *score) observe(d, x float64) {
	if s.weight >= scoreCap {
		s.scale(scoreCap / (s.weight + 1))
	}
	s.weight++
	s.sum += d
	s.squares += d * d
	s.logs += x
}

func (s *score) scale(by float64) {
	s.weight *= by
	s.sum *= by
	s.squares *= by
	s.logs *= by
}

func (s *score) count(bad bool) {
	if s.total >= failureCap {
		s.bad *= failureCap / (s.total + 1)
		s.total *= failureCap / (s.total + 1)
	}
	s.total++
	if bad {
		s.bad++
	}
}

// fade lets time pass.
func (s *score) fade(now time.Duration, failing bool) {
	dt := now - s.fadedAt
	s.fadedAt = now
	if dt <= 0 {
		return
	}
	s.scale(math.Exp(-dt.Seconds() / scoreAge.Seconds()))
	age := failureAge
	if failing {
		age *= 2 // few calls come, and few of them fail
	}
	by := math.Exp(-dt.Seconds() / age.Seconds())
	s.total *= by
	s.bad *= by
}

// mean is the mean logarithm of a duration against what is usual.
func (s *score) mean() float64 {
	if s.weight <= 0 {
		return 0
	}
	return s.sum / s.weight
}

// doubt is the standard error of the mean.
func (s *score) doubt() float64 {
	if s.weight <= 1 {
		return math.Inf(1)
	}
	mean := s.mean()
	deviation := math.Sqrt(max(s.squares/s.weight-mean*mean, 0.01))
	return deviation / math.Sqrt(s.weight)
}

// typical is the duration, in seconds, of calls such as the instance gets, on an instance like any other.
func (s *score) typical() float64 {
	if s.weight <= 0 {
		return 0
	}
	return math.Exp((s.logs - s.sum) / s.weight)
}

// rate is the part of calls that failed.
func (s *score) rate() float64 {
	if s.total <= 0 {
		return 0
	}
	return s.bad / s.total
}
