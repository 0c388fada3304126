package rows_test

import (
	"regexp"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/rows"
)

const (
	victim = "127.0.0.1:1"
	second = time.Second
	ms     = time.Millisecond
)

// well is an outcome of 100 calls per second for 60 s over three instances; the
// fault lasts from 20 s to 40 s. The victim leaves rotation after a second, is
// probed each 3 s, and is back after 2 s. No call fails.
func well() *rows.Outcome {
	o := &rows.Outcome{Victims: map[string]bool{victim: true}, Begun: 20 * second, Healed: 40 * second, Ended: 60 * second, Instances: 3}
	o.Spans = []rows.Span{{From: o.Begun, To: o.Healed}}
	others := []string{"127.0.0.1:2", "127.0.0.1:3"}
	for n := range 6000 {
		at := time.Duration(n) * 10 * ms
		c := &history.Call{ID: n, Kind: history.Get, Intended: at, Start: at, End: at + ms, Timeout: second}
		if n%4 == 0 {
			c.Kind = history.Update
		}
		out := at > 21*second && at < 42*second
		address := others[n%2]
		if n%3 == 0 && !out || out && at < 40*second && at%(3*second) == 0 {
			address = victim
		}
		c.Attempts = []history.Attempt{{At: at, Address: address}}
		o.Calls = append(o.Calls, c)
	}
	return o
}

// between returns the calls due between two moments.
func between(o *rows.Outcome, from, to time.Duration) []*history.Call {
	var found []*history.Call
	for _, c := range o.Calls {
		if c.Intended >= from && c.Intended < to {
			found = append(found, c)
		}
	}
	return found
}

func fail(c *history.Call) { c.Code = codes.Unavailable }

// doctored is a check and what must make it fail.
type doctored struct {
	name   string
	check  rows.Check
	doctor func(o *rows.Outcome)
}

func wrongOutcomes() []doctored {
	return []doctored{
		{"none failed", rows.NoneFailed, func(o *rows.Outcome) { fail(o.Calls[17]) }},
		{"none failed of none", rows.NoneFailed, func(o *rows.Outcome) { o.Calls = nil }},
		{"enough calls", rows.Enough, func(o *rows.Outcome) { o.Params.Calls = 6001 }},
		{"availability by count", rows.AtLeast(0.999, "all", rows.Every), func(o *rows.Outcome) {
			for _, c := range o.Calls[:7] {
				fail(c)
			}
		}},
		{"availability by its bound", rows.AtLeast(0.999, "all", rows.Every), func(o *rows.Outcome) {
			o.Full = true
			for _, c := range o.Calls[:3] { // 99.95 %, but the bound is 99.85 %
				fail(c)
			}
		}},
		{"hedged calls", rows.HedgedNeverFail, func(o *rows.Outcome) { fail(o.Calls[1]) }},
		{"lost only where it was", rows.LostAreInFlight, func(o *rows.Outcome) { fail(o.Calls[3001]) }},
		{"lost after it was out", rows.LostAreInFlight, func(o *rows.Outcome) { fail(o.Calls[2400]) }},
		{"out in time", rows.OutWithin(2 * second), func(o *rows.Outcome) {
			for _, c := range between(o, 21*second, 23*second) {
				c.Attempts[0].Address = victim
			}
		}},
		{"never out", rows.OutWithin(2 * second), func(o *rows.Outcome) {
			for i, c := range between(o, 20*second, 40*second) {
				if i%10 == 0 {
					c.Attempts[0].Address = victim
				}
			}
		}},
		{"more than probes", rows.ProbesOnly, func(o *rows.Outcome) {
			for i, c := range between(o, 25*second, 40*second) {
				if i%20 == 0 {
					c.Attempts[0].Address = victim
				}
			}
		}},
		{"traffic to what is gone", rows.NoTrafficAfter(22 * second), func(o *rows.Outcome) {
			o.Spans[0].To = 50 * second
			o.Calls[4500].Attempts[0].Address = victim
		}},
		{"back too late", rows.BackWithin(5 * second), func(o *rows.Outcome) {
			for _, c := range between(o, 40*second, 46*second) {
				c.Attempts[0].Address = "127.0.0.1:2"
			}
		}},
		{"never back", rows.BackWithin(5 * second), func(o *rows.Outcome) {
			for _, c := range between(o, 40*second, 60*second) {
				c.Attempts[0].Address = "127.0.0.1:2"
			}
		}},
		{"keeps its share", rows.ShareFalls(0.8, 5*second), func(o *rows.Outcome) {
			for i, c := range between(o, 20*second, 40*second) {
				if i%10 == 0 {
					c.Attempts[0].Address = victim
				}
			}
		}},
		{"recovers too late", rows.RecoveryWithin(5 * second), func(o *rows.Outcome) { fail(between(o, 46*second, 47*second)[0]) }},
		{"a storm when it is back", rows.NoStorm, func(o *rows.Outcome) {
			for i, c := range between(o, 40*second, 43*second) {
				for range i % 5 {
					c.Attempts = append(c.Attempts, c.Attempts[0])
				}
			}
		}},
		{"a storm of attempts", rows.AttemptsAtMost(1.1), func(o *rows.Outcome) {
			for i, c := range between(o, 20*second, 40*second) {
				if i%5 == 0 {
					c.Attempts = append(c.Attempts, c.Attempts[0])
				}
			}
		}},
	}
}

func TestChecksOfRows(t *testing.T) {
	for _, tc := range wrongOutcomes() {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name != "traffic to what is gone" {
				if v := tc.check(well()); !v.OK {
					t.Errorf("a run that is well: %+v", v)
				}
			}
			o := well()
			tc.doctor(o)
			if v := tc.check(o); v.OK {
				t.Errorf("not seen: %+v", v)
			}
		})
	}
}

func TestNoTrafficPassesWhereThereIsNone(t *testing.T) {
	o := well()
	for _, c := range between(o, 21*second, 40*second) {
		c.Attempts[0].Address = "127.0.0.1:2"
	}
	if v := rows.NoTrafficAfter(second)(o); !v.OK {
		t.Errorf("got %+v", v)
	}
}

func TestLostInFlightAreAllowed(t *testing.T) {
	o := well()
	for _, c := range between(o, 20*second, 21*second) {
		if c.Attempts[0].Address == victim {
			fail(c)
		}
	}
	if v := rows.LostAreInFlight(o); !v.OK {
		t.Errorf("got %+v", v)
	}
}

func TestMeasuresOfAnOutcome(t *testing.T) {
	o := well()
	if out, ok := o.Out(); !ok || out < 900*ms || out > 1100*ms {
		t.Errorf("out after %s (%t)", out, ok)
	}
	if back, ok := o.Back(); !ok || back < 2*second || back > 3*second {
		t.Errorf("back after %s (%t)", back, ok)
	}
	if share, n := o.Share(0, o.Begun); n != 2000 || share < 0.33 || share > 0.34 {
		t.Errorf("share %v of %d", share, n)
	}
	if o.Recovery() != 0 {
		t.Errorf("recovery %s", o.Recovery())
	}
}

// TestRowsAreWhole checks the table itself.
func TestRowsAreWhole(t *testing.T) {
	name := regexp.MustCompile(`^[a-z0-9-]+$`)
	seen := map[string]bool{}
	for _, r := range rows.All() {
		if !name.MatchString(r.Name) || seen[r.Name] {
			t.Errorf("the name %q is malformed or taken", r.Name)
		}
		seen[r.Name] = true
		if r.Promise == "" || (r.Inject == nil) == (r.Run == nil) {
			t.Errorf("%s: a row has a promise, and one of Inject and Run", r.Name)
		}
		if r.Run == nil && len(r.Checks) == 0 {
			t.Errorf("%s promises more than the invariants and checks nothing of it", r.Name)
		}
	}
}

func TestABusyMachineExcusesTheShortFormOnly(t *testing.T) {
	for _, full := range []bool{false, true} {
		for _, busy := range []bool{false, true} {
			o := well()
			o.Full = full
			fail(o.Calls[1])
			if busy {
				for _, c := range between(o, 0, o.Begun) {
					c.End = c.Start + 200*ms
				}
			}
			v := rows.Calm(rows.NoneFailed)(o)
			if v.OK || v.Timed != (busy && !full) {
				t.Errorf("full %t, busy %t: %+v", full, busy, v)
			}
		}
	}
}
