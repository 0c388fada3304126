package history_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

func TestWhatCountsAsAnAnswer(t *testing.T) {
	tests := []struct {
		name           string
		call           history.Call
		failed, open   bool
		acknowledged   bool
		finallyKnownAt time.Duration
	}{
		{"a write that was done", history.Call{Kind: history.Update, End: 5}, false, false, true, 5},
		{"a read", history.Call{Kind: history.Get, End: 5}, false, false, false, 5},
		{"a user who is not there", history.Call{Kind: history.Get, Code: codes.NotFound}, false, false, false, 0},
		{"an etag that does not match", history.Call{Kind: history.Update, Code: codes.Aborted, Reason: "ETAG_MISMATCH"}, false, false, false, 0},
		{"a store that gave up", history.Call{Kind: history.Update, Code: codes.Aborted, Reason: "CONCURRENT_CHANGE"}, true, true, false, 0},
		{"no answer in time", history.Call{Kind: history.Update, Code: codes.DeadlineExceeded}, true, true, false, 0},
		{"unavailable", history.Call{Kind: history.Update, Code: codes.Unavailable}, true, true, false, 0},
		{"no answer, done as was learned later", history.Call{Kind: history.Update, Code: codes.Unavailable, Settled: true, SettledAt: 9}, true, false, true, 9},
		{"no answer, refused as was learned later", history.Call{Kind: history.Update, Code: codes.Unavailable, Settled: true, Answer: codes.NotFound, SettledAt: 9}, true, false, false, 9},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := tc.call
			if c.Failed() != tc.failed || c.Open() != tc.open || c.Acknowledged() != tc.acknowledged || c.Known() != tc.finallyKnownAt {
				t.Errorf("failed %t, open %t, acknowledged %t, known at %d", c.Failed(), c.Open(), c.Acknowledged(), c.Known())
			}
		})
	}
}

func TestLatencyCountsFromWhenTheCallWasDue(t *testing.T) {
	c := history.Call{Intended: 10 * time.Millisecond, Start: 60 * time.Millisecond, End: 70 * time.Millisecond}
	if c.Latency() != 60*time.Millisecond {
		t.Errorf("got %s", c.Latency())
	}
}

func TestVersionIsTheEndOfTheEtag(t *testing.T) {
	for etag, want := range map[string]int64{`"0c1f-1"`: 1, `"0c1f-z"`: 35, `"0c1f-10"`: 36, `""`: 0, `"x-y!"`: 0} {
		if got := (history.Event{Etag: etag}).Version(); got != want {
			t.Errorf("%s: got %d, want %d", etag, got, want)
		}
	}
}
