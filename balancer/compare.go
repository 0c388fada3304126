package balancer

import (
	"math"
	"slices"
	"time"
)

const (
	fitLeast = 0.02 // the smallest share for latency and failures, so that a recovery is seen

	slowEvidence     = 8   // answered calls before latency counts
	slowEvidenceKeep = 2   // and before it counts no more
	slowDoubts       = 2   // standard errors that the excess must exceed
	slowTimes        = 1.5 // what the excess must be to count
	slowTimesKeep    = 1.25
	slowLeast        = 0.010 // seconds
	slowExponent     = 1.5   // a slow instance costs callers more than its idle capacity is worth

	failEvidence = 3    // failed calls
	failDoubts   = 2    // standard deviations of their number
	failLeast    = 0.02 // of the calls, more than the siblings'
	failTimes    = 3    // as many as the siblings'
	failKeep     = 0.01
	failScale    = 0.02 // more than the siblings' by so much, the share falls to a third

	fitGrowth     = 1.6 // per second, at most
	fitBlindAfter = 0.2 // doublings per second, at most, while no new evidence comes in
)

// compare judges each instance against its siblings. Instances that are out take no part.
func compare(list []*instance, now time.Duration) {
	var scores, rates []float64
	for _, i := range list {
		i.mu.Lock()
		dt := now - i.score.fadedAt
		i.score.fade(now, i.factors.failing)
		i.factors.step = dt
		if i.closed() && i.ready.Load() > 0 {
			if i.score.weight >= slowEvidenceKeep {
				scores = append(scores, i.score.mean())
			}
			if i.score.total >= 1 {
				rates = append(rates, i.score.rate())
			}
		}
		i.mu.Unlock()
	}
	for _, i := range list {
		i.mu.Lock()
		i.fit(median(scores), len(scores), median(rates), len(rates))
		i.mu.Unlock()
	}
}

// median is the lower median: of two, the better one.
func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	return x[(len(x)-1)/2]
}

// fit moves the factor against the siblings to where the evidence says: down at once, up slowly. The caller holds the lock.
func (i *instance) fit(usual float64, measured int, rate float64, counted int) {
	f := &i.factors
	slow, slowKnown := i.slowness(usual, measured)
	failing, failingKnown := i.failing(rate, counted)
	goal := max(fitLeast, slow*failing)
	growth := math.Exp2(fitBlindAfter * f.step.Seconds())
	if slowKnown && failingKnown {
		growth = math.Exp2(math.Log2(fitGrowth) * f.step.Seconds())
	}
	f.slow, f.failing = f.slow && !slowKnown || slow < 1, f.failing && !failingKnown || failing < 1
	f.fit = min(goal, f.fit*growth)
	if f.fit >= 0.99 {
		f.fit, f.slow, f.failing = 1, false, false
	}
}

// slowness is the share that fits the instance's latency, and whether enough is known to say.
func (i *instance) slowness(usual float64, measured int) (share float64, known bool) {
	s, already := &i.score, i.factors.slow
	least := float64(slowEvidence)
	if already {
		least = slowEvidenceKeep
	}
	if measured < 2 || s.weight < least {
		return 1, !already
	}
	excess := s.mean() - usual
	seconds := s.typical() * math.Exp(usual) * (math.Exp(excess) - 1)
	sure, times := excess-slowDoubts*s.doubt(), slowTimes
	if already {
		sure, times = excess, slowTimesKeep
	}
	if seconds < slowLeast || sure < math.Log(times) {
		return 1, true
	}
	return math.Exp(-slowExponent * excess), true
}

// failing is the share that fits the instance's failures, and whether enough is known to say.
func (i *instance) failing(rate float64, counted int) (share float64, known bool) {
	s, already := &i.score, i.factors.failing
	if counted < 2 {
		return 1, true
	}
	limit := max(failTimes*rate, rate+failLeast)
	if already {
		if s.total < 2 {
			return 1, false
		}
		if s.rate() < max(rate*failTimes/2, rate+failKeep) {
			return 1, true
		}
	} else if s.bad < failEvidence || s.bad-failDoubts*math.Sqrt(s.bad) < limit*s.total {
		return 1, true
	}
	return math.Exp(-(s.rate() - rate) / failScale), true
}
