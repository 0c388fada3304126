package balancer

import (
	"cmp"
	"math"
	"slices"
	"time"
)

const (
	fitLeast = 0.02 // the smallest share for latency and failures, so that a recovery is seen

	slowEvidence     = 8    // answered calls before latency counts
	slowEvidenceKeep = 2    // and before it counts no more
	slowVariance     = 0.01 // of logarithms, at least
	slowDoubts       = 2    // standard errors that the excess must exceed
	slowTimes        = 1.5  // what the excess must be to count
	slowTimesKeep    = 1.25
	slowLeast        = 0.010 // seconds
	dragDoubts       = 3     // standard errors where the mean counts: a few calls decide it
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

// siblings are what is usual among the instances that take part, and how many of them there is something known of.
type siblings struct {
	ratio    float64 // of durations to the usual ones, its logarithm
	extra    sample  // of seconds
	measured int
	rate     float64 // of failures
	counted  int
}

// compare judges each instance against its siblings. Instances that are out take no part.
func compare(list []*instance, now time.Duration) {
	var ratios, rates []float64
	var extras []sample
	for _, i := range list {
		i.mu.Lock()
		dt := now - i.score.fadedAt
		i.score.fade(now, i.factors.failing)
		i.factors.step = dt
		if i.closed() && i.ready.Load() > 0 {
			if i.score.ratio.weight >= slowEvidenceKeep {
				ratios, extras = append(ratios, i.score.ratio.mean()), append(extras, i.score.extra)
			}
			if i.score.total >= 1 {
				rates = append(rates, i.score.rate())
			}
		}
		i.mu.Unlock()
	}
	usual := siblings{
		ratio: median(ratios, cmp.Compare), rate: median(rates, cmp.Compare), measured: len(ratios), counted: len(rates),
		extra: median(extras, func(a, b sample) int { return cmp.Compare(a.mean(), b.mean()) }),
	}
	for _, i := range list {
		i.mu.Lock()
		i.fit(usual)
		i.mu.Unlock()
	}
}

// median is the lower median: of two, the better one.
func median[T any](x []T, compare func(a, b T) int) (m T) {
	if len(x) == 0 {
		return m
	}
	slices.SortFunc(x, compare)
	return x[(len(x)-1)/2]
}

// fit moves the factor against the siblings to where the evidence says: down at once, up slowly. The caller holds the lock.
func (i *instance) fit(usual siblings) {
	f := &i.factors
	slow, slowKnown := i.slowness(usual)
	failing, failingKnown := i.failing(usual.rate, usual.counted)
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
func (i *instance) slowness(usual siblings) (share float64, known bool) {
	already := i.factors.slow
	least, times, doubts := float64(slowEvidence), slowTimes, 1.0
	if already {
		least, times, doubts = slowEvidenceKeep, slowTimesKeep, 0
	}
	if usual.measured < 2 || i.score.ratio.weight < least {
		return 1, !already
	}
	slower := max(i.score.slower(usual, times, doubts), i.score.drags(usual, doubts))
	if slower < times {
		return 1, true
	}
	return math.Pow(slower, -slowExponent), true
}

// slower is how many times as long as its siblings' the instance's calls take, most of them; 1 where that is not sure.
func (s *score) slower(usual siblings, times, doubts float64) float64 {
	excess := s.ratio.mean() - usual.ratio
	seconds := s.typical() * math.Exp(usual.ratio) * (math.Exp(excess) - 1)
	sure := excess - doubts*slowDoubts*s.ratio.doubt(slowVariance)
	if seconds < slowLeast || sure < math.Log(times) {
		return 1
	}
	return math.Exp(excess)
}

// drags is how many times as long they take in the mean, which some of them may decide; 1 where that is not sure.
func (s *score) drags(usual siblings, doubts float64) float64 {
	excess := s.extra.mean() - usual.extra.mean()
	sure := excess - doubts*dragDoubts*math.Hypot(s.extra.doubt(0), usual.extra.doubt(0))
	took := s.took / s.extra.weight
	if excess < slowLeast || sure <= 0 || excess >= took {
		return 1
	}
	return took / (took - excess)
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
