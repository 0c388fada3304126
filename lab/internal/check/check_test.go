package check_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
)

const ms = time.Millisecond

// world is a small history that is right: two users, written and read one call
// after the other, and the stream that shows it.
type world struct {
	calls  []*history.Call
	items  []*history.Item
	events []history.Event
}

// right plays calls against a map, so that every answer is right.
func right() *world {
	w := &world{}
	for _, key := range []string{"users/ann", "users/bob"} {
		version := 0
		do := func(kind history.Kind, token string, deleted bool) *history.Call {
			at := time.Duration(len(w.calls)) * 10 * ms
			c := &history.Call{ID: len(w.calls), Kind: kind, Key: key, Intended: at, Start: at, End: at + 5*ms, Timeout: time.Second}
			if kind.Write() {
				version++
				if kind == history.Create || kind == history.Update {
					c.Token = token
				}
			}
			state := history.State{Etag: fmt.Sprintf(`"uid-%d"`, version), Token: token, Deleted: deleted}
			c.Seen = []history.Seen{{Key: key, State: state}}
			if kind.Write() {
				w.events = append(w.events, history.Event{At: c.End, Key: key, Etag: state.Etag, Token: token, Deleted: deleted, Revision: fmt.Sprint(len(w.events))})
			}
			w.calls = append(w.calls, c)
			return c
		}
		do(history.Create, key+"-1", false)
		do(history.Get, key+"-1", false)
		do(history.Update, key+"-2", false).IfEtag = `"uid-1"`
		do(history.Get, key+"-2", false)
		do(history.Delete, key+"-2", true)
		do(history.Undelete, key+"-2", false)
		do(history.Update, key+"-3", false)
		do(history.Get, key+"-3", false)
	}
	w.items = []*history.Item{{Key: "users/imp", Token: "imp", Acks: 1}}
	w.events = append(w.events, history.Event{Key: "users/imp", Etag: `"imp-1"`, Token: "imp"})
	return w
}

// users are the users as the last of the changes left them.
func (w *world) users() map[string]history.State {
	users := map[string]history.State{}
	for _, e := range w.events {
		users[e.Key] = history.State{Etag: e.Etag, Token: e.Token, Deleted: e.Deleted}
	}
	return users
}

func (w *world) stream() *history.Stream {
	s := (history.New()).Stream("watch")
	for _, e := range w.events {
		s.Add(e)
	}
	return s
}

// fail makes a call one that has no answer.
func fail(c *history.Call) { c.Code, c.Seen = codes.DeadlineExceeded, nil }

func noLag(time.Duration, time.Duration) time.Duration { return 0 }

// all runs every checker that a row always runs.
func (w *world) all() []check.Verdict {
	s := w.stream()
	return []check.Verdict{
		check.Linearizable(w.calls, 10*time.Second),
		check.Effects("watch", w.calls, w.items, w.events),
		check.Stream(s),
		check.Versions("table", w.events),
		check.SameOrder("watch", s.Events(), "table", right().events),
		check.Causal("watch", w.calls, w.events),
		check.Replayed("table", w.events, right().users()),
		check.Final("API", w.users(), "table", right().users()),
		check.Deadlines(w.calls, noLag),
		check.RetryInfos(w.calls, noLag),
	}
}

func TestARightHistoryPasses(t *testing.T) {
	for _, v := range right().all() {
		if !v.OK {
			t.Errorf("%s: %s %q", v.Name, v.Detail, v.Faults)
		}
	}
}

// doctored is a history made wrong in one way.
type doctored struct {
	name   string
	by     string // begin of the name of the checker that must see it
	text   string // part of what it says
	doctor func(w *world)
}

// TestEachCheckerFindsItsFault doctors the history in one way each; the checker
// that is named must see it.
func TestEachCheckerFindsItsFault(t *testing.T) {
	for _, tc := range slices.Concat(wrongEffects(), wrongReads()) {
		t.Run(tc.name, func(t *testing.T) {
			w := right()
			tc.doctor(w)
			for _, v := range w.all() {
				if strings.HasPrefix(v.Name, tc.by) && !v.OK && strings.Contains(strings.Join(v.Faults, "\n"), tc.text) {
					return
				}
			}
			t.Errorf("nobody saw it: %+v", w.all())
		})
	}
}

// wrongEffects are faults of writes and streams.
func wrongEffects() []doctored {
	return []doctored{
		{"a lost write", "every acknowledged write", "is there 0 times", func(w *world) { w.events = slices.Delete(w.events, 1, 2) }},
		{"a lost last write", "every acknowledged write", "is there 0 times", func(w *world) { w.events = slices.Delete(w.events, 4, 5) }},
		{"a lost write, in the versions", "no gap", "version 3 of users/ann after version 1", func(w *world) { w.events = slices.Delete(w.events, 1, 2) }},
		{"a doubled message", "every acknowledged write", "is there 2 times", func(w *world) { w.events = slices.Insert(w.events, 1, w.events[1]) }},
		{"a doubled message, in the stream", "no gap", "again", func(w *world) { w.events = append(w.events, w.events[1]) }},
		{"a write that took effect twice", "every acknowledged write", "took effect 2 times", func(w *world) {
			again := w.events[4]
			again.Etag = `"uid-6"`
			w.events = append(w.events, again)
		}},
		{"a write without an answer that took effect twice", "every acknowledged write", "took effect 2 times", func(w *world) {
			fail(w.calls[6])
			again := w.events[4]
			again.Etag = `"uid-6"`
			w.events = append(w.events, again)
		}},
		{"a deletion that took effect twice", "every acknowledged write", "was asked to be at most 1 times", func(w *world) {
			gone, back := w.events[2], w.events[3]
			gone.Etag, back.Etag = `"uid-6"`, `"uid-7"`
			w.events = append(w.events, gone, back)
		}},
		{"a write that nobody made", "every acknowledged write", "which nobody wrote", func(w *world) {
			w.events = append(w.events, history.Event{Key: "users/eve", Etag: `"eve-1"`, Token: "eve"})
		}},
		{"a refused write that took effect", "every acknowledged write", "was refused", func(w *world) {
			w.calls[2].Code, w.calls[2].Reason, w.calls[2].Seen = codes.Aborted, "ETAG_MISMATCH", nil
		}},
		{"another content than acknowledged", "every acknowledged write", "was acknowledged as", func(w *world) { w.events[1].Token = w.events[0].Token }},
		{"one etag for two writes", "every acknowledged write", "two writes", func(w *world) { w.calls[6].Seen = w.calls[2].Seen }},
		{"an acknowledgement without the user", "every acknowledged write", "without the user", func(w *world) { w.calls[2].Seen = nil }},
		{"a lost item of an import", "every acknowledged write", "is there 0 times", func(w *world) { w.events = w.events[:len(w.events)-1] }},
		{"a gap at the begin", "no gap", "version 2 of users/ann after version 0", func(w *world) { w.events = w.events[1:] }},
		{"disorder within a user", "no gap", "after version", func(w *world) { w.events[1], w.events[2] = w.events[2], w.events[1] }},
		{"disorder between users", "one order", "change 4", func(w *world) { w.events[4], w.events[5] = w.events[5], w.events[4] }},
		{"a stream that ends early", "one order", "has 10", func(w *world) { w.events = w.events[:10] }},
		{"an effect before its cause", "causes come first", "comes after it", func(w *world) { w.events[4], w.events[5] = w.events[5], w.events[4] }},
	}
}

// wrongReads are faults of answers, final states and times.
func wrongReads() []doctored {
	return []doctored{
		{"a stale read", "linearizable", "no order", func(w *world) { w.calls[3].Seen = w.calls[1].Seen }},
		{"a read of what was never written", "linearizable", "no order", func(w *world) { w.calls[3].Seen[0].Token = "eve" }},
		{"a read that misses a user", "linearizable", "no order", func(w *world) { w.calls[3].Code, w.calls[3].Seen = codes.NotFound, nil }},
		{"a stale read of many", "linearizable", "no order", func(w *world) {
			w.calls[3].Kind, w.calls[3].Key, w.calls[3].Seen = history.Batch, "", w.calls[1].Seen
		}},
		{"a write on an etag that was replaced", "linearizable", "no order", func(w *world) { w.calls[6].IfEtag = `"uid-1"` }},
		{"a refusal although the etag was right", "linearizable", "no order", func(w *world) {
			w.calls[2].Code, w.calls[2].Reason, w.calls[2].Seen = codes.Aborted, "ETAG_MISMATCH", nil
		}},
		{"a second creation", "linearizable", "no order", func(w *world) { w.calls[2].Kind = history.Create }},
		{"a write without an answer that is seen before it began", "linearizable", "no order", func(w *world) {
			w.calls[1].Seen = w.calls[3].Seen
			fail(w.calls[2])
		}},
		{"a user lost in the end", "the changes of", "is not there", func(w *world) {
			w.events = append(w.events, history.Event{Key: "users/eve", Etag: `"eve-1"`, Token: "eve"})
		}},
		{"a change lost in the end", "the changes of", "its last change", func(w *world) { w.events = slices.Delete(w.events, 4, 5) }},
		{"two answers about one user", "the same users", "users/ann is", func(w *world) { w.events = slices.Delete(w.events, 4, 5) }},
		{"a user too many", "the same users", "missing", func(w *world) {
			w.events = append(w.events, history.Event{Key: "users/eve", Etag: `"eve-1"`, Token: "eve"})
		}},
		{"a call past its deadline", "every call ends", "after its deadline", func(w *world) { w.calls[3].End = w.calls[3].Start + 1051*ms }},
		{"no call at all", "every call ends", "no call", func(w *world) { w.calls = nil }},
		{"a failure without RetryInfo", "failures are UNAVAILABLE", "RetryInfo: false", func(w *world) { w.calls[3].Code = codes.Unavailable }},
		{"a failure by deadline", "failures are UNAVAILABLE", "DeadlineExceeded", func(w *world) { fail(w.calls[3]) }},
	}
}

func TestWhatIsAllowedPasses(t *testing.T) {
	tests := []struct {
		name   string
		doctor func(w *world)
	}{
		{"a write without an answer that took effect", func(w *world) { fail(w.calls[2]); w.calls[2].RetryInfo = true }},
		{"a write without an answer that had no effect", func(w *world) {
			w.calls = append(w.calls, &history.Call{Kind: history.Update, Key: "users/ann", Token: "never", Start: time.Second, End: time.Second, Timeout: time.Second, Code: codes.Unavailable})
		}},
		{"a write without an answer that had none yet when others read", func(w *world) {
			w.calls[2].Start, w.calls[2].End = 0, 5*ms
			fail(w.calls[2])
		}},
		{"a write settled later", func(w *world) {
			c := w.calls[6]
			c.Code, c.Settled, c.SettledAt = codes.Unavailable, true, time.Minute
		}},
		{"a read without an answer", func(w *world) { fail(w.calls[3]) }},
		{"reads during a write see either", func(w *world) {
			w.calls[2].Start, w.calls[2].End = 5*ms, 39*ms
			w.calls[3].Seen = w.calls[1].Seen
		}},
		{"a refused repetition", func(w *world) {
			w.calls = append(w.calls, &history.Call{Kind: history.Create, Key: "users/ann", Token: "again", Start: time.Second, End: time.Second, Timeout: time.Second, Code: codes.AlreadyExists})
		}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			w := right()
			tc.doctor(w)
			for _, v := range w.all() {
				if !v.OK && !strings.HasPrefix(v.Name, "failures are") {
					t.Errorf("%s: %s %q", v.Name, v.Detail, v.Faults)
				}
			}
		})
	}
}

func TestOwnLagExcusesALateEnd(t *testing.T) {
	w := right()
	w.calls[3].End = w.calls[3].Start + 1120*ms
	for _, tc := range []struct {
		lag  time.Duration
		want bool
	}{{0, false}, {60 * ms, false}, {80 * ms, true}} {
		got := check.Deadlines(w.calls, func(time.Duration, time.Duration) time.Duration { return tc.lag })
		if got.OK != tc.want {
			t.Errorf("own lag %s: %+v", tc.lag, got)
		}
	}
}

func TestAFaultOfAStreamCounts(t *testing.T) {
	s := right().stream()
	s.Fault("OUT_OF_RANGE REVISION_COMPACTED")
	if v := check.Stream(s); v.OK {
		t.Error("a stream that could not be resumed passes")
	}
}

func TestNoTimeToCheckIsUnknownAndFails(t *testing.T) {
	v := check.Linearizable(right().calls, 0)
	if v.OK || !strings.Contains(strings.Join(v.Faults, ""), "UNKNOWN") {
		t.Errorf("got %+v", v)
	}
}

func TestOwnLagExcusesALateAnswerOfTheStore(t *testing.T) {
	for _, tc := range []struct {
		lag  time.Duration
		want bool
	}{{10 * ms, false}, {30 * ms, true}} {
		w := right()
		fail(w.calls[3])
		v := check.RetryInfos(w.calls, func(time.Duration, time.Duration) time.Duration { return tc.lag })
		if v.OK != tc.want {
			t.Errorf("own lag %s: %+v", tc.lag, v)
		}
		w.calls[3].Code = codes.Internal
		if check.RetryInfos(w.calls, func(time.Duration, time.Duration) time.Duration { return tc.lag }).OK {
			t.Errorf("own lag %s excuses INTERNAL", tc.lag)
		}
	}
}
