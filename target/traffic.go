package target

import (
	"encoding/json"
	"sync/atomic"
	"time"
)

// Traffic counts calls of a target, or attempts at an instance, from the beginning on: who wants to know how many there are now takes two
// counts and the difference. The zero value is ready. Safe for concurrent use; counting costs a few atomic additions and no memory.
type Traffic struct {
	begun, ended, failed atomic.Uint64
	latencies            latencies
}

// TrafficCount is what a [Traffic] has counted up to a moment.
type TrafficCount struct {
	// Begun is how many calls began, where that is counted: not for instances, whose [Balance] says what is in flight.
	Begun uint64
	// Ended is how many calls have ended, Failed how many of them with an error that says something about who was called.
	Ended, Failed uint64
	// Latency is how long those took of which that was said.
	Latency Latency
}

// Begin counts a call that begins.
func (t *Traffic) Begin() { t.begun.Add(1) }

// End counts a call that has ended. A latency below zero is none, for streams and for what was cancelled.
func (t *Traffic) End(failed bool, latency time.Duration) {
	// The call itself is counted last, so that who sees no more calls than before has seen all that was said of them.
	if latency >= 0 {
		t.latencies.observe(latency)
	}
	if failed {
		t.failed.Add(1)
	}
	t.ended.Add(1)
}

// Ended is how many calls have ended. While it stays the same, [Traffic.Read] has nothing new to tell of them.
func (t *Traffic) Ended() uint64 { return t.ended.Load() }

// InFlight is how many calls have begun and not ended.
func (t *Traffic) InFlight() int {
	ended := t.ended.Load()
	return int(max(0, int64(t.begun.Load()-ended))) //nolint:gosec // far below 2^63
}

// Read copies what was counted so far into c. No more have failed than have ended, and no more have ended than have begun.
func (t *Traffic) Read(c *TrafficCount) {
	c.Failed = t.failed.Load()
	c.Ended = t.ended.Load()
	c.Begun = t.begun.Load()
	c.Failed = min(c.Failed, c.Ended) // without those that are just being counted
	for i := range t.latencies {
		c.Latency[i] = t.latencies[i].Load()
	}
}

// IsZero reports whether nothing was counted; JSON leaves such traffic out.
func (t *Traffic) IsZero() bool { return t == nil || t.begun.Load()|t.ended.Load() == 0 }

// MarshalJSON gives the counts since the beginning, for people.
func (t *Traffic) MarshalJSON() ([]byte, error) {
	var c TrafficCount
	t.Read(&c)
	return json.Marshal(struct {
		Calls  uint64        `json:"calls"`
		Errors uint64        `json:"errors"`
		P50    time.Duration `json:"p50_ns,omitempty"`
		P99    time.Duration `json:"p99_ns,omitempty"`
	}{c.Ended, c.Failed, c.Latency.Quantile(0.5), c.Latency.Quantile(0.99)})
}
