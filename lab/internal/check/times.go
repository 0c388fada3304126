package check

import (
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// Lag tells the longest delay of the lab's own scheduling within a time.
type Lag func(from, to time.Duration) time.Duration

// Grace is how long after its deadline, beyond the lab's own lag, a call may
// end.
const Grace = 50 * time.Millisecond

// Deadlines checks that every call ended by its deadline, plus [Grace] and the
// lab's own lag around its end.
func Deadlines(calls []*history.Call, lag Lag) Verdict {
	v := begin("every call ends by its deadline + 50 ms")
	var worst time.Duration
	for _, c := range calls {
		late := c.End - c.Start - c.Timeout
		worst = max(worst, late)
		if late <= Grace {
			continue
		}
		if own := lag(c.Start+c.Timeout, c.End); late > Grace+own {
			v.fault("%s %s ended %s after its deadline (own lag %s) with %s %s", c.Kind, c.Key, late.Round(time.Millisecond), own.Round(time.Millisecond), c.Code, c.Reason)
		}
	}
	if len(calls) == 0 {
		v.fault("there was no call")
	}
	return v.end("%d calls, the latest %s after its deadline", len(calls), max(worst, 0).Round(time.Millisecond))
}

// held is an own lag, shortly before the end of a call, that excuses an answer
// that came too late: servers on the same machine were kept from running, too.
const held = 25 * time.Millisecond

// RetryInfos checks that the failures of some calls are UNAVAILABLE and say when
// to try again. That they came before the deadline needs no other proof: one that
// did not is DEADLINE_EXCEEDED.
func RetryInfos(calls []*history.Call, lag Lag) Verdict {
	v := begin("failures are UNAVAILABLE with RetryInfo, before the deadline")
	failures, excused := 0, 0
	for _, c := range calls {
		if !c.Failed() {
			continue
		}
		failures++
		switch {
		case c.Code == codes.Unavailable && c.RetryInfo:
		case c.Code == codes.DeadlineExceeded && lag(c.End-c.Timeout/5, c.End) >= held:
			excused++
		default:
			v.fault("%s %s ended after %s of %s with %s %s (RetryInfo: %t) %s; sent %d times", c.Kind, c.Key, (c.End - c.Start).Round(time.Millisecond), c.Timeout, c.Code, c.Reason, c.RetryInfo, c.Message, len(c.Attempts))
		}
	}
	return v.end("%d failures of %d calls, %d of them late together with the lab", failures, len(calls), excused)
}

// Window returns the calls that the schedule placed from one moment to another.
func Window(calls []*history.Call, from, to time.Duration) []*history.Call {
	return slices.DeleteFunc(slices.Clone(calls), func(c *history.Call) bool { return c.Intended < from || c.Intended >= to })
}
