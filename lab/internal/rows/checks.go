package rows

import (
	"fmt"
	"math"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/stat"
)

// confidence of the bounds.
const confidence = 0.95

func verdict(name string, ok bool, format string, args ...any) check.Verdict {
	return check.Verdict{Name: name, OK: ok, Detail: fmt.Sprintf(format, args...)}
}

func timed(v check.Verdict) check.Verdict {
	v.Timed = true
	return v
}

// noneFailed demands that no call failed.
func noneFailed(o *Outcome) check.Verdict {
	n, failed := count(o.Calls, every)
	v := verdict("no call fails", failed == 0 && n > 0, "%d of %d failed", failed, n)
	v.Faults = examples(o.Calls, every)
	return v
}

// examples shows the first failures.
func examples(calls []*history.Call, which func(*history.Call) bool) []string {
	var shown []string
	for _, c := range calls {
		if which(c) && c.Failed() && len(shown) < 5 {
			shown = append(shown, fmt.Sprintf("%s %s due at %s ended after %s with %s %s: %s; sent to %v", c.Kind, c.Key, c.Intended.Round(time.Millisecond), c.Latency().Round(time.Millisecond), c.Code, c.Reason, c.Message, c.Attempts))
		}
	}
	return shown
}

// enough demands that the full form had so many calls.
func enough(o *Outcome) check.Verdict {
	return verdict(fmt.Sprintf("at least %d calls", o.Params.Calls), len(o.Calls) >= o.Params.Calls, "%d calls", len(o.Calls))
}

// atLeast demands that a share of the calls succeeds. In the full form the lower
// bound of the confidence interval must reach it; the short form has too few
// calls for that, and demands it of the count.
func atLeast(share float64, name string, which func(*history.Call) bool) Check {
	return func(o *Outcome) check.Verdict {
		n, failed := count(o.Calls, which)
		lower, _ := stat.ClopperPearson(n-failed, n, confidence)
		allowed := int(math.Ceil((1-share)*float64(n) - 1e-9))
		ok := failed <= allowed && n > 0
		if o.Full {
			ok = lower >= share
		}
		v := verdict(fmt.Sprintf("at least %g %% of %s", share*100, name), ok, "%d of %d failed; with 95 %% confidence at least %.4f %%", failed, n, lower*100)
		if !ok {
			v.Faults = examples(o.Calls, which)
		}
		return v
	}
}

// hedgedNeverFail demands that no call fails that may be hedged.
func hedgedNeverFail(o *Outcome) check.Verdict {
	which := func(c *history.Call) bool { return hedged(c.Kind) }
	n, failed := count(o.Calls, which)
	v := verdict("no hedged call fails", failed == 0, "%d of %d failed", failed, n)
	v.Faults = examples(o.Calls, which)
	return v
}

// lostAreInFlight demands that only calls failed that were sent to the victim
// before it left rotation.
func lostAreInFlight(o *Outcome) check.Verdict {
	out, ok := o.Out()
	if !ok {
		out = o.Healed - o.Begun
	}
	sent, failed := 0, 0
	var faults []string
	for _, c := range o.Calls {
		hit := false
		for _, a := range c.Attempts {
			hit = hit || o.Victims[a.Address] && a.At >= o.Begun-c.Timeout && a.At <= o.Begun+out
		}
		if hit || c.Kind == history.Changes && c.Start <= o.Begun+out {
			sent++
		}
		if c.Failed() {
			failed++
			if !hit && c.Kind != history.Changes {
				faults = append(faults, fmt.Sprintf("%s %s due at %s failed with %s %s: %s; sent to %v", c.Kind, c.Key, c.Intended.Round(time.Millisecond), c.Code, c.Reason, c.Message, c.Attempts))
			}
		}
	}
	v := verdict("only calls sent to it before it left rotation are lost", len(faults) == 0, "%d calls were sent to it, %d failed", sent, failed)
	v.Faults = faults[:min(len(faults), 5)]
	return v
}

// outWithin demands that the victim leaves rotation in time.
func outWithin(limit time.Duration) Check {
	return func(o *Outcome) check.Verdict {
		out, ok := o.Out()
		return timed(verdict(fmt.Sprintf("out of rotation within %s", limit), ok && out <= limit, "the last call before a pause was sent to it after %s (pause: %t)", out.Round(time.Millisecond), ok))
	}
}

// probesOnly demands that the victim, once out, gets single probes and no share.
func probesOnly(o *Outcome) check.Verdict {
	out, ok := o.Out()
	share, n := o.Share(o.Begun+out+quiet, o.Healed)
	limit := 0.1 / float64(o.Instances)
	return verdict("only probes go to it while it is out", ok && share <= limit, "%.2f %% of %d attempts", share*100, n)
}

// noTrafficAfter demands that nothing is sent to the victim while it is gone.
func noTrafficAfter(limit time.Duration) Check {
	return func(o *Outcome) check.Verdict {
		hits, total := 0.0, 0
		for _, span := range o.Spans {
			share, n := o.Share(span.From+limit, span.To)
			hits += share * float64(n)
			total += n
		}
		return verdict(fmt.Sprintf("no traffic to it after %s", limit), hits == 0 && total > 0, "%.0f of %d attempts", hits, total)
	}
}

// backWithin demands that the victim is taken back in time.
func backWithin(limit time.Duration) Check {
	return func(o *Outcome) check.Verdict {
		after, ok := o.Back()
		return timed(verdict(fmt.Sprintf("back within %s", limit), ok && after <= limit, "it had half of its share again after %s (%t)", after.Round(time.Millisecond), ok))
	}
}

// shareFalls demands that the victim's share falls by so much within the limit.
func shareFalls(by float64, limit time.Duration) Check {
	return func(o *Outcome) check.Verdict {
		before, _ := o.Share(0, o.Begun)
		during, n := o.Share(o.Begun+limit, o.Healed)
		return timed(verdict(fmt.Sprintf("its share falls by %g %% within %s", by*100, limit), during <= (1-by)*before && n > 0, "from %.1f %% to %.1f %%", before*100, during*100))
	}
}

// recoveryWithin demands that no call fails that is due later after the end of
// the fault.
func recoveryWithin(limit time.Duration) Check {
	return func(o *Outcome) check.Verdict {
		after := o.Recovery()
		return timed(verdict(fmt.Sprintf("recovery within %s", limit), after <= limit, "the last call that failed was due %s after the end of the fault", after.Round(time.Millisecond)))
	}
}

// attemptsAtMost demands that there is no storm of retries while the fault lasts
// and just after.
func attemptsAtMost(ratio float64) Check {
	return func(o *Outcome) check.Verdict {
		n, attempts := 0, 0
		for _, c := range check.Window(o.Calls, o.Begun, o.Healed+5*time.Second) {
			n++
			attempts += len(c.Attempts)
		}
		return verdict(fmt.Sprintf("attempts at most %g times the calls", ratio), float64(attempts) <= ratio*float64(n), "%d attempts of %d calls", attempts, n)
	}
}

// noStorm demands that the return of the victim makes no storm of attempts:
// retries, of which there may be one for ten calls, and hedges, of which there
// may be as many, and those besides that were saved up in the ten seconds before.
func noStorm(o *Outcome) check.Verdict {
	const most, window, saved = 0.2, 10 * time.Second, 0.1
	n, attempts := 0, 0
	for _, c := range check.Window(o.Calls, o.Healed, o.Healed+window) {
		n++
		attempts += len(c.Attempts)
	}
	before := len(check.Window(o.Calls, o.Healed-window, o.Healed))
	return verdict("no storm when it is back", n > 0 && float64(attempts-n) <= most*float64(n)+saved*float64(before), "%d attempts of %d calls", attempts, n)
}

// retryInfo demands that the failures while the fault lasted say when to try
// again, before the deadline.
func retryInfo(o *Outcome) check.Verdict {
	return check.RetryInfos(check.Window(o.Calls, 0, o.Ended), o.Lag)
}

// fullOnly leaves a check out of the short form, which has too few calls for it.
func fullOnly(c Check) Check {
	return func(o *Outcome) check.Verdict {
		v := c(o)
		v.Timed = true
		return v
	}
}

// busyP99 is a p99 before the fault at which the machine cannot serve the
// platform as it is when all is well.
const busyP99 = 150 * time.Millisecond

// calm leaves a check out of the short form when the machine was too busy for
// the platform before there was a fault: calls then wait for a processor for as
// long as hedges and deadlines take, whatever the chassis does.
func calm(c Check) Check {
	return func(o *Outcome) check.Verdict {
		v := c(o)
		var before []time.Duration
		for _, call := range check.Window(o.Calls, 0, o.Begun) {
			before = append(before, call.Latency())
		}
		if p99 := stat.Percentiles(before).P99; !o.Full && p99 > busyP99 {
			v.Timed = true
			v.Detail += fmt.Sprintf("; the machine was busy before the fault (p99 %s): not counted", p99.Round(time.Millisecond))
		}
		return v
	}
}
