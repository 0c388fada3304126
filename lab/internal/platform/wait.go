package platform

import (
	"context"
	"time"
)

// until asks again and again until something is so, or the context ends.
func until(ctx context.Context, every time.Duration, so func() bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ended tells whether a process has.
func ended(p *Process) bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}
