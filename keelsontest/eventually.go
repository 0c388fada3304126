package keelsontest

import (
	"testing"
	"time"
)

const (
	patience = time.Minute          // only a failing test takes so long
	pause    = 5 * time.Millisecond // between two looks
)

// Eventually waits until something is so; what names it, for the failure. It looks every few
// milliseconds, for a minute at most, and ends the test with a failure then. Only the
// goroutine of the test may call it.
func Eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
	}
}
