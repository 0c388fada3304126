// Package check judges a history: were writes lost or doubled, do streams have
// gaps, is what each key showed possible, did every call end in time. Each
// checker is a function of the history alone, and its tests feed it histories
// that are wrong in one way each: a checker that cannot fail proves nothing.
package check

import (
	"fmt"
	"slices"
)

// Verdict is what one checker found.
type Verdict struct {
	// Name is the property.
	Name string
	// OK tells that it holds.
	OK bool
	// Timed marks a bound on times, which only the full form of a row enforces.
	Timed bool
	// Detail says on how much evidence, or what is wrong.
	Detail string
	// Faults are the first few violations.
	Faults []string `json:",omitempty"`
}

// maxFaults is how many violations a verdict shows.
const maxFaults = 5

// verdict collects violations.
type verdict struct {
	Verdict
	count int
}

func begin(name string) *verdict { return &verdict{Verdict: Verdict{Name: name}} }

// fault notes a violation.
func (v *verdict) fault(format string, args ...any) {
	v.count++
	if len(v.Faults) < maxFaults {
		v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
	}
}

// end says what was examined; the property holds if there was no violation.
func (v *verdict) end(format string, args ...any) Verdict {
	v.OK = v.count == 0
	v.Detail = fmt.Sprintf(format, args...)
	if !v.OK {
		v.Detail = fmt.Sprintf("%d violations; %s", v.count, v.Detail)
	}
	return v.Verdict
}

// Failed returns the verdicts that do not hold.
func Failed(all []Verdict) []Verdict {
	return slices.DeleteFunc(slices.Clone(all), func(v Verdict) bool { return v.OK })
}
