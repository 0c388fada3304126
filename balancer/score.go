package balancer

import (
	"math"
	"time"
)

const (
	// ratioCap is how many observations of latency are remembered at most, so that at high rates a change is seen at once, and scoreAge
	// after how long they have faded to a third, so that at low rates they are not believed for ever. A mean of durations is less sure than
	// one of their logarithms and takes more of them.
	ratioCap = 50
	extraCap = 400
	scoreAge = 4 * time.Second
	// failureAge is after how long failures and successes have faded to a third.
	failureAge = 5 * time.Second
	// failureCap is how many of them are remembered at most.
	failureCap = 100
)

// score is what an instance's latest calls say about it, newer ones counting more. Guarded by the instance's lock.
type score struct {
	// Of each answered unary call: the logarithm of its duration against what is usual for its method, and of the duration itself.
	ratio sample
	logs  float64
	// The same without logarithms, in seconds: how much longer than usual it took, and how long. Where few calls of many are far slower,
	// as those of one method may be, only this tells.
	extra sample
	took  float64
	// Of all calls that say something: how many, and how many of them failed.
	total, bad float64
	fadedAt    time.Duration
}

// sample is what is remembered of a number: how many times it was seen, the sum, and the sum of the squares.
type sample struct{ weight, sum, squares float64 }

func (s *sample) add(x float64) {
	s.weight++
	s.sum += x
	s.squares += x * x
}

func (s *sample) scale(by float64) {
	s.weight *= by
	s.sum *= by
	s.squares *= by
}

func (s *sample) mean() float64 {
	if s.weight <= 0 {
		return 0
	}
	return s.sum / s.weight
}

// doubt is the standard error of the mean of something whose variance is not less than least.
func (s *sample) doubt(least float64) float64 {
	if s.weight <= 1 {
		return math.Inf(1)
	}
	mean := s.mean()
	return math.Sqrt(max(s.squares/s.weight-mean*mean, least) / s.weight)
}

// observe takes the logarithm x of how many seconds a call took, and how far that is from the usual one.
func (s *score) observe(d, x float64) {
	if s.ratio.weight >= ratioCap {
		s.scaleRatio(ratioCap / (s.ratio.weight + 1))
	}
	if s.extra.weight >= extraCap {
		s.scaleExtra(extraCap / (s.extra.weight + 1))
	}
	s.ratio.add(d)
	s.logs += x
	seconds := math.Exp(x)
	s.extra.add(seconds * (1 - math.Exp(-d)))
	s.took += seconds
}

func (s *score) scaleRatio(by float64) {
	s.ratio.scale(by)
	s.logs *= by
}

func (s *score) scaleExtra(by float64) {
	s.extra.scale(by)
	s.took *= by
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
	by := math.Exp(-dt.Seconds() / scoreAge.Seconds())
	s.scaleRatio(by)
	s.scaleExtra(by)
	age := failureAge
	if failing {
		age *= 2 // few calls come, and few of them fail
	}
	by = math.Exp(-dt.Seconds() / age.Seconds())
	s.total *= by
	s.bad *= by
}

// typical is the duration, in seconds, of calls such as the instance gets, on an instance like any other.
func (s *score) typical() float64 {
	if s.ratio.weight <= 0 {
		return 0
	}
	return math.Exp((s.logs - s.ratio.sum) / s.ratio.weight)
}

// rate is the part of calls that failed.
func (s *score) rate() float64 {
	if s.total <= 0 {
		return 0
	}
	return s.bad / s.total
}
