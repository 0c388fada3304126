// Package report holds what a run of a row found, prints it, and writes
// docs/reliability.md from it.
package report

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/stat"
)

// Result is one row, run once with one seed.
type Result struct {
	Row, Promise string
	Full         bool
	Seed         uint64
	// Skipped says why the row was not run; empty: it was.
	Skipped string `json:",omitempty"`
	// OK tells that everything held that this form of the row enforces.
	OK      bool
	Started time.Time
	Took    time.Duration
	// Rate is arrivals per second, Instances how many user instances there were.
	Rate      float64 `json:",omitempty"`
	Instances int     `json:",omitempty"`

	All, Hedged, Writes Class
	Classes             []Class        `json:",omitempty"`
	Attempts            int            `json:",omitempty"`
	Codes               map[string]int `json:",omitempty"`
	// Out, Back and Recovery are as the rows define them; nil: not measured, or
	// it did not happen.
	Out, Back, Recovery *time.Duration `json:",omitempty"`
	Lag                 Lag
	Streams             []Stream           `json:",omitempty"`
	Marks               []Mark             `json:",omitempty"`
	Metrics             map[string]float64 `json:",omitempty"`
	// Failures are the first few calls that failed.
	Failures []string `json:",omitempty"`
	Facts    []string `json:",omitempty"`
	Verdicts []check.Verdict
}

// The forms of a row, as they are shown.
const (
	full  = "full"
	short = "short"
)

// Form is full or short.
func (r *Result) Form() string {
	if r.Full {
		return full
	}
	return short
}

// Class is one class of calls.
type Class struct {
	Name          string
	Calls, Failed int
	// Lower and Upper bound the availability with 95 % confidence (Clopper and
	// Pearson).
	Lower, Upper          float64
	Before, During, After stat.Latencies
}

// Lag is how late the lab itself was: calls against their schedule, and its
// process against its timers.
type Lag struct{ StartP99, StartMax, Worst time.Duration }

// Stream is one consumer of changes.
type Stream struct {
	Name             string
	Changes, Resumed int
	Longest          time.Duration
	Ends             map[string]int `json:",omitempty"`
}

// Mark is a moment of the run.
type Mark struct {
	At   time.Duration
	What string
}

// Judge sets OK: no verdict may fail, but bounds on times count in the full form
// only.
func (r *Result) Judge() {
	r.OK = len(r.Verdicts) > 0
	for _, v := range r.Verdicts {
		if !v.OK && (r.Full || !v.Timed) {
			r.OK = false
		}
	}
}

// Word is the result in one word.
func (r *Result) Word() string {
	switch {
	case r.Skipped != "":
		return "SKIPPED"
	case r.OK:
		return "ok"
	default:
		return "FAILED"
	}
}

// Conditions are what a run's figures depend on.
type Conditions struct {
	Machine, Go, OS, Commit string
	Cores                   int
	MemoryGiB               float64
	Registry                string
	Rate                    float64
	Instances               int
	Full                    bool
}

// File is what -json writes and report reads.
type File struct {
	Conditions Conditions
	Results    []*Result
}

// Here finds out what can be of the machine and the sources.
func Here(root string) Conditions {
	c := Conditions{Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.NumCPU()}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				c.Machine = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib float64
		if _, err := fmt.Sscanf(string(text), "MemTotal: %f kB", &kib); err == nil {
			c.MemoryGiB = kib / (1 << 20)
		}
	}
	cmd := exec.CommandContext(context.Background(), "git", "describe", "--always", "--dirty")
	cmd.Dir = root
	if out, err := cmd.Output(); err == nil {
		c.Commit = strings.TrimSpace(string(out))
	}
	return c
}

// Writable makes sure, before hours of measuring, that results can be written to
// a file. What is in it stays. No name: nothing is to be written.
func Writable(name string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // for everybody to read
	if err != nil {
		return err
	}
	return f.Close()
}

// Write writes a file of results; none when there is no name.
func (f *File) Write(name string) error {
	if name == "" {
		return nil
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o644) //nolint:gosec // for everybody to read
}

// Read reads a file of results.
func Read(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var f File
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("read %s: %w; give files that -json wrote", name, err)
	}
	return &f, nil
}

// byShare tells whether the row is about the share that the sick instance keeps:
// then it is not out of rotation, and a pause in its calls says nothing.
func (r *Result) byShare() bool {
	return slices.ContainsFunc(r.Verdicts, aboutShare)
}

func aboutShare(v check.Verdict) bool { return strings.HasPrefix(v.Name, "its share falls") }

// out is the time until the sick instance was out of rotation, where that is asked.
func (r *Result) out() *time.Duration {
	if r.byShare() {
		return nil
	}
	return r.Out
}
