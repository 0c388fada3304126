// Package discoverytest is the conformance suite of discovery drivers: [Run] checks the numbered contracts of discovery.Registrar and
// discovery.Watcher, against a registry that the driver's own test starts, stops and wipes.
//
//	func TestDriver(t *testing.T) {
//		discoverytest.Run(t, func(t *testing.T) discoverytest.Harness {
//			r := startRegistry(t)
//			return discoverytest.Harness{
//				Driver: func() discovery.Driver { return mydriver.New(r.Address()) },
//				Stop: r.Stop, Start: r.Start, Wipe: r.Wipe, Corrupt: r.WriteGarbage,
//			}
//		})
//	}
package discoverytest

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/discovery"
)

// Feature is something that not every registry can do in a test.
type Feature string

// The features.
const (
	// Outage is that the registry can be stopped and started again with what it knew.
	Outage Feature = "outage"
	// Wipe is that the registry can lose everything while it keeps running.
	Wipe Feature = "wipe"
	// Corrupt is that an entry can be written that the driver cannot read.
	Corrupt Feature = "corrupt"
)

// DefaultPatience is how long the suite waits for what must come.
const DefaultPatience = 30 * time.Second

// Harness is one empty registry under test. All functions are called from the test's goroutine and fail the test themselves when they
// cannot do what they are for.
type Harness struct {
	// Driver returns a new driver on the registry, as another process would have it. Required.
	Driver func() discovery.Driver
	// Stop makes the registry unavailable, Start makes it available again with what it knew. Feature Outage.
	Stop, Start func()
	// Wipe makes the registry lose everything. Feature Wipe.
	Wipe func()
	// Corrupt writes an unreadable entry for a service. Feature Corrupt.
	Corrupt func(service string)
	// Without says for each feature that the harness does not have why not. A feature that is neither there nor listed fails the test,
	// so that nothing is left out silently.
	Without map[Feature]string
	// Patience is how long to wait for what must come, by default DefaultPatience. It bounds failing tests only.
	Patience time.Duration
}

// need skips the test, with the reason, when the harness does not have a feature, and fails it when there is no reason.
func (h Harness) need(t *testing.T, f Feature) {
	t.Helper()
	has := map[Feature]bool{Outage: h.Stop != nil && h.Start != nil, Wipe: h.Wipe != nil, Corrupt: h.Corrupt != nil}[f]
	reason := h.Without[f]
	switch {
	case has && reason != "":
		t.Fatalf("the harness has feature %q and says that it is without it: %s", f, reason)
	case !has && reason == "":
		t.Fatalf("the harness lacks feature %q; implement it, or say why not in Harness.Without", f)
	case !has:
		t.Skipf("without %s: %s", f, reason)
	}
}

// Run checks that a driver keeps the contract. fresh returns a harness with an empty registry; it is called once per test.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	t.Helper()
	tests := []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"an instance is seen, checked and deregistered", testLifecycle},
		{"a watch that starts after registration sees the instance at once", testLateWatch},
		{"registering again changes nothing", testIdempotent},
		{"a change of weight and metadata is seen", testUpdate},
		{"services do not see each other", testServices},
		{"two watches are independent", testTwoWatches},
		{"a blocked receiver gets the latest state", testSlowReceiver},
		{"cancellation ends a watch and leaks nothing", testCancel},
		{"attempts with a context that has ended fail", testEndedContext},
		{"an unknown parameter is refused by name", testUnknownParameter},
		{"odd IDs work and never meet", testOddIDs},
		{"names that are not allowed are refused", testBadNames},
		{"500 instances registered concurrently are one list", testBigList},
		{"concurrent registration and deregistration end as they should", testConcurrent},
		{"an outage is an error and never an empty list", testOutage},
		{"a registration survives an outage at start", testOutageAtStart},
		{"a registration comes back after a wipe", testWipe},
		{"an unreadable entry does not spoil the others", testCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			known := goleak.IgnoreCurrent()
			h := fresh(t)
			if h.Driver == nil {
				t.Fatal("the harness has no Driver")
			}
			if h.Patience <= 0 {
				h.Patience = DefaultPatience
			}
			// Runs after the test has stopped its watches and before the harness's own cleanup.
			t.Cleanup(func() { goleak.VerifyNone(t, known, goleak.IgnoreTopFunction("testing.(*T).Run")) })
			tt.test(t, h)
		})
	}
}
