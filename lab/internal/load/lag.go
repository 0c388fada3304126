package load

import (
	"context"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// lagTick is how often the meter wakes up, lagNoise what it takes for punctual.
const (
	lagTick  = 5 * time.Millisecond
	lagNoise = 2 * time.Millisecond
)

// LagMeter measures how late the lab's own process wakes up: what it would
// otherwise blame on the platform. It is safe for concurrent use.
type LagMeter struct {
	mu    sync.Mutex
	late  []lateness
	worst time.Duration
}

// lateness is one late wake-up: when it should have been, and how late it was.
type lateness struct{ at, by time.Duration }

// Run measures until the context ends.
func (m *LagMeter) Run(ctx context.Context, clock history.Clock) {
	for ctx.Err() == nil {
		want := clock.Now() + lagTick
		time.Sleep(lagTick)
		if by := clock.Now() - want; by > lagNoise {
			m.mu.Lock()
			m.late = append(m.late, lateness{want, by})
			m.worst = max(m.worst, by)
			m.mu.Unlock()
		}
	}
}

// Between is the longest delay of which a part lies between two moments.
func (m *LagMeter) Between(from, to time.Duration) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	var worst time.Duration
	for _, l := range m.late {
		if l.at <= to && l.at+l.by >= from {
			worst = max(worst, l.by)
		}
	}
	return worst
}

// Worst is the longest delay of all.
func (m *LagMeter) Worst() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.worst
}
