package load

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

const (
	// lagTick is how often the meter wakes up, threadTick how often it asks the
	// kernel, and lagNoise what it takes for punctual.
	lagTick    = 5 * time.Millisecond
	threadTick = 25 * time.Millisecond
	lagNoise   = 2 * time.Millisecond
)

// LagMeter measures how late the lab's own process is: what it would otherwise
// blame on the platform. It knows it from timers that fire late, and from the
// kernel, which counts how long each thread was ready to run and did not. It is
// safe for concurrent use.
type LagMeter struct {
	mu    sync.Mutex
	late  []lateness
	worst time.Duration
}

// lateness is one time in which the process, or a thread of it, was held up.
type lateness struct{ at, by time.Duration }

// Run measures until the context ends.
func (m *LagMeter) Run(ctx context.Context, clock history.Clock) {
	waited := map[string]time.Duration{}
	m.threads(clock, waited, false)
	last := clock.Now()
	for ctx.Err() == nil {
		want := clock.Now() + lagTick
		time.Sleep(lagTick)
		now := clock.Now()
		m.Note(want, now-want)
		if now-last >= threadTick {
			last = now
			m.threads(clock, waited, true)
		}
	}
}

// threads reads how long each thread has waited for a processor.
func (m *LagMeter) threads(clock history.Clock, waited map[string]time.Duration, note bool) {
	names, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		var ran, waits int64
		if _, err := fmt.Sscan(string(text), &ran, &waits); err != nil {
			continue
		}
		by := time.Duration(waits) - waited[name]
		waited[name] = time.Duration(waits)
		if note {
			m.Note(clock.Now()-by, by)
		}
	}
}

// Note notes a delay, unless it is noise.
func (m *LagMeter) Note(at, by time.Duration) {
	if by <= lagNoise {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late = append(m.late, lateness{at, by})
	m.worst = max(m.worst, by)
}

// Between is for how long, between two moments, the process or a part of it was
// held up.
func (m *LagMeter) Between(from, to time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	var held []lateness
	for _, l := range m.late {
		begin, end := max(l.at, from), min(l.at+l.by, to)
		if end > begin {
			held = append(held, lateness{begin, end - begin})
		}
	}
	slices.SortFunc(held, func(a, b lateness) int { return int(a.at - b.at) })
	var total, covered time.Duration
	for _, l := range held {
		begin := max(l.at, covered)
		if end := l.at + l.by; end > begin {
			total += end - begin
			covered = end
		}
	}
	return total
}

// Worst is the longest delay of all.
func (m *LagMeter) Worst() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.worst
}
