package call_test

import (
	"sync"
	"testing"

	"github.com/keelson-dev/keelson/call"
)

func TestCallRemembersItsLatestAttempts(t *testing.T) {
	var c call.Call
	for n := 1; n <= 6; n++ {
		if c.Tried(uint64(n)) {
			t.Errorf("%d is tried before", n)
		}
		if got := c.Attempt(uint64(n)); got != n {
			t.Errorf("attempt %d has the number %d", n, got)
		}
		if !c.Tried(uint64(n)) {
			t.Errorf("%d is forgotten at once", n)
		}
	}
	for n, want := range map[uint64]bool{1: false, 2: false, 3: true, 6: true} {
		if c.Tried(n) != want {
			t.Errorf("%d is tried: %v", n, !want)
		}
	}
}

func TestWhatWasNotSentMayBeTriedAgain(t *testing.T) {
	var c call.Call
	c.Attempt(7)
	c.Unsent(7)
	if c.Tried(7) || c.Attempts.Load() != 0 {
		t.Errorf("tried %v, %d attempts", c.Tried(7), c.Attempts.Load())
	}
}

func TestWhatWasNotSentLeavesTheOtherAttemptsKnown(t *testing.T) {
	var c call.Call
	c.Attempt(7)
	c.Attempt(8) // a hedge, while the first attempt is on its way
	c.Unsent(7)
	if c.Tried(7) {
		t.Error("what was not sent is tried")
	}
	c.Attempt(9)
	if !c.Tried(8) || !c.Tried(9) {
		t.Error("the hedge's instance is forgotten")
	}
}

func TestAttemptsOverlap(t *testing.T) {
	var c call.Call
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			c.Attempt(uint64(n + 1))
			c.Tried(1)
		})
	}
	wg.Wait()
	for n := range 4 {
		if !c.Tried(uint64(n + 1)) {
			t.Errorf("%d is forgotten", n+1)
		}
	}
}

func TestAHedgeIsMarked(t *testing.T) {
	c := &call.Call{Context: t.Context()}
	hedge := call.WithHedge(c)
	if call.IsHedge(c) || !call.IsHedge(hedge) || call.From(hedge) != c {
		t.Errorf("first attempt %t, hedge %t, record %p of %p", call.IsHedge(c), call.IsHedge(hedge), call.From(hedge), c)
	}
}
