// Package rows is the table of faults: what each row does to the platform, what
// must hold, and the machine that runs a row and judges it.
package rows

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/platform"
)

// Need is something that not every machine has.
type Need string

// The needs.
const (
	Packets Need = "packets" // iptables and root
	Consul  Need = "consul"  // the real registry
)

// Params are the sizes of a row in one of its forms.
type Params struct {
	// Before is how long the load runs before the fault, Fault how long the
	// fault lasts, After how long the load goes on at least, Limit how long the
	// row waits for recovery at most.
	Before, Fault, After, Limit time.Duration
	// Times is how often the fault is repeated.
	Times int
	// Calls is how many calls there must be at least; the row goes on until
	// there are.
	Calls int
	// Rate is arrivals per second, where it is not that of the run.
	Rate float64
}

// Row is one fault.
type Row struct {
	// Name is what -faults takes, Promise what must hold, in words.
	Name, Promise string
	Needs         []Need
	// Shape is what has to run; the number of instances is the run's.
	Shape platform.Shape
	// Short and Full are the two forms.
	Short, Full Params
	// Inject does it, and marks when the fault begins and when it is over.
	Inject func(ctx context.Context, e *Env) error
	// Checks are what is special to the row; invariants are always checked.
	Checks []Check
	// Run replaces the whole course of a row that is not a fault under load.
	Run func(ctx context.Context, e *Env) ([]check.Verdict, error)
}

// Env is what a row works with.
type Env struct {
	*platform.Platform
	History *history.History
	Params  Params
	Full    bool
	// Rng repeats its choices with the seed.
	Rng  *rand.Rand
	Log  func(format string, args ...any)
	Rate float64
	Seed uint64
	// Root is the directory of the module.
	Root string

	live     func(string) // nil: nobody watches
	calls    func() int64
	victim   *platform.Instance
	spans    []Span
	facts    []string
	verdicts []check.Verdict
	// metrics are the counters of the lab's client.
	metrics func() map[string]float64
}

// Victim is the user instance that the fault is done to; the seed chooses it.
func (e *Env) Victim() *platform.Instance {
	if e.victim == nil {
		users := e.Users()
		e.victim = users[e.Rng.IntN(len(users))]
	}
	return e.victim
}

// Span is one time for which the fault lasted.
type Span struct{ From, To time.Duration }

// Begin marks that the fault begins, perhaps once more.
func (e *Env) Begin(what string) {
	e.Log("%s", what)
	e.spans = append(e.spans, Span{From: e.History.Mark(what)})
}

// Heal marks that the fault is over.
func (e *Env) Heal(what string) {
	e.Log("%s", what)
	e.spans[len(e.spans)-1].To = e.History.Mark(what)
}

// Fact adds a line to the report.
func (e *Env) Fact(text string) { e.facts = append(e.facts, text) }

// Found adds a verdict of the row's own.
func (e *Env) Found(v check.Verdict) { e.verdicts = append(e.verdicts, v) }

// Wait lets the fault last, unless the context ends first.
func (e *Env) Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Until asks every 50 ms whether something is so, for at most so long, and tells
// how long that took.
func (e *Env) Until(ctx context.Context, limit time.Duration, so func() bool) (time.Duration, bool) {
	begun := time.Now()
	for !so() {
		if time.Since(begun) > limit || e.Wait(ctx, 50*time.Millisecond) != nil {
			return time.Since(begun), false
		}
	}
	return time.Since(begun), true
}

// All returns the rows in the order of the report.
func All() []Row {
	var all []Row
	for _, part := range [][]Row{processRows(), networkRows(), registryRows(), storeRows(), telemetryRows()} {
		all = append(all, part...)
	}
	return all
}
