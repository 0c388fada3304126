package rows

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/report"
	"github.com/keelson-dev/keelson/lab/internal/stat"
)

// measure writes figures into the result, beside the verdicts.
func (c *course) measure(r *report.Result, o *Outcome) {
	r.Rate, r.Instances = c.Rate, o.Instances
	r.Metrics = c.metrics()
	r.Failures = examples(o.Calls, every)
	r.Failures = examples(o.Calls, every)
	r.Lag.Worst = c.lag.Worst()
	for _, m := range c.History.Marks() {
		r.Marks = append(r.Marks, report.Mark{At: m.At, What: m.What})
	}
	starts := make([]time.Duration, 0, len(o.Calls))
	codes_ := map[string]int{}
	for _, call := range o.Calls {
		starts = append(starts, call.Start-call.Intended)
		r.Attempts += len(call.Attempts)
		if call.Code != codes.OK {
			codes_[fmt.Sprintf("%s %s", call.Code, call.Reason)]++
		}
	}
	r.Codes = codes_
	late := stat.Percentiles(starts)
	r.Lag.StartP99, r.Lag.StartMax = late.P99, late.Max
	r.All = class("all", o, every)
	for _, k := range history.Kinds() {
		if cl := class(k.String(), o, func(call *history.Call) bool { return call.Kind == k }); cl.Calls > 0 {
			r.Classes = append(r.Classes, cl)
		}
	}
	r.Hedged = class("hedged", o, func(call *history.Call) bool { return hedged(call.Kind) })
	r.Writes = class("writes", o, func(call *history.Call) bool { return call.Kind.Write() })
	if c.victim != nil {
		if d, ok := o.Out(); ok {
			r.Out = &d
		}
		if d, ok := o.Back(); ok && c.Params.Limit > 0 {
			r.Back = &d
		}
	}
	if recovery := o.Recovery(); o.Begun > 0 {
		r.Recovery = &recovery
	}
	for _, s := range c.History.Streams() {
		r.Streams = append(r.Streams, stream(s))
	}
}

// class summarises a class of calls.
func class(name string, o *Outcome, which func(*history.Call) bool) report.Class {
	n, failed := count(o.Calls, which)
	lower, upper := stat.ClopperPearson(n-failed, n, confidence)
	phase := func(from, to time.Duration) stat.Latencies {
		var d []time.Duration
		for _, call := range check.Window(o.Calls, from, to) {
			if which(call) {
				d = append(d, call.Latency())
			}
		}
		return stat.Percentiles(d)
	}
	return report.Class{Name: name, Calls: n, Failed: failed, Lower: lower, Upper: upper,
		Before: phase(0, o.Begun), During: phase(o.Begun, o.Healed), After: phase(o.Healed, o.Ended)}
}

func stream(s *history.Stream) report.Stream {
	breaks := s.Breaks()
	r := report.Stream{Name: s.Name, Changes: len(s.Events()), Resumed: len(breaks), Ends: map[string]int{}}
	for _, b := range breaks {
		r.Ends[b.Outcome]++
	}
	if len(breaks) > 0 {
		worst := slices.MaxFunc(breaks, func(a, b history.Break) int { return cmp.Compare(a.Back-a.At, b.Back-b.At) })
		r.Longest = worst.Back - worst.At
	}
	return r
}
