package rows

import (
	"slices"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
)

// Outcome is a row that was run, as its checks see it.
type Outcome struct {
	Calls []*history.Call // of the load, by intended time
	// Victims are the addresses of the instance that the fault was done to.
	Victims map[string]bool
	// Spans are the times for which the fault lasted, Begun and Healed the begin
	// of the first and the end of the last. Ended is when the load stopped.
	Spans                []Span
	Begun, Healed, Ended time.Duration
	// Instances is how many user instances there are.
	Instances int
	Full      bool
	Params    Params
	// Lag is the lab's own.
	Lag check.Lag
}

// Check judges one property of an outcome.
type Check func(o *Outcome) check.Verdict

// sending is one attempt of a call to the user service.
type sending struct {
	at     time.Duration
	victim bool
}

// sendings are all attempts to user instances, in order.
func (o *Outcome) sendings() []sending {
	var all []sending
	for _, c := range o.Calls {
		if c.Kind == history.Changes {
			continue
		}
		for _, a := range c.Attempts {
			all = append(all, sending{a.At, o.Victims[a.Address]})
		}
	}
	slices.SortFunc(all, func(a, b sending) int { return int(a.at - b.at) })
	return all
}

// quiet is how long an instance must get nothing to count as out of rotation:
// longer than it is only suspected, when it gets a call now and then. Probes may
// come later, one by one.
const quiet = time.Second

// Out is how long after the begin of the fault the victim got its last attempt
// before a pause, the longest of all spans; false if in one of them there was no
// pause.
func (o *Outcome) Out() (longest time.Duration, ok bool) {
	all := o.sendings()
	for _, span := range o.Spans {
		last := span.From
		for _, s := range all {
			if s.at < span.From || !s.victim {
				continue
			}
			if s.at > span.To || s.at-last >= quiet {
				break
			}
			last = s.at
		}
		longest = max(longest, last-span.From)
		if span.To-last < quiet {
			return longest, false
		}
	}
	return longest, len(o.Spans) > 0
}

// Share is the part of the attempts between two moments that went to the
// victim, and how many attempts there were.
func (o *Outcome) Share(from, to time.Duration) (share float64, of int) {
	hit := 0
	for _, s := range o.sendings() {
		if s.at < from || s.at >= to {
			continue
		}
		of++
		if s.victim {
			hit++
		}
	}
	return float64(hit) / float64(max(of, 1)), of
}

// back is the share of its fair part that an instance must have to count as
// taken back, over a second.
const back = 0.5

// Back is how long after the end of the fault the victim had its part of the
// traffic again; false if never.
func (o *Outcome) Back() (time.Duration, bool) {
	all := o.sendings()
	first := 0
	hits, count := 0, 0
	for _, s := range all {
		if s.at < o.Healed {
			first++
			continue
		}
		count++
		if s.victim {
			hits++
		}
		for all[first].at < s.at-time.Second {
			count--
			if all[first].victim {
				hits--
			}
			first++
		}
		if s.at-o.Healed >= time.Second && float64(hits) >= back*float64(count)/float64(o.Instances) {
			return s.at - o.Healed, true
		}
	}
	return 0, false
}

// Recovery is how long after the end of the fault the last call was due that
// failed; 0 if none did.
func (o *Outcome) Recovery() time.Duration {
	var last time.Duration
	for _, c := range o.Calls {
		if c.Failed() && c.Intended > o.Healed {
			last = max(last, c.Intended-o.Healed)
		}
	}
	return last
}

// hedged tells whether the chassis may send a call a second time while it waits.
func hedged(k history.Kind) bool { return !k.Write() }

// count returns how many calls there are, and how many of them failed.
func count(calls []*history.Call, which func(*history.Call) bool) (n, failed int) {
	for _, c := range calls {
		if !which(c) {
			continue
		}
		n++
		if c.Failed() {
			failed++
		}
	}
	return n, failed
}

func every(*history.Call) bool { return true }
