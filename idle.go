package keelson

import (
	"sync/atomic"
	"time"
)

// idleTimer calls a function when nothing touched it for a while. Touching is
// one atomic store; the timer looks at it only when it would fire. A nil timer
// ignores everything.
type idleTimer struct {
	after time.Duration
	last  atomic.Int64 // when it was touched last, since start
	start time.Time
	timer *time.Timer
}

func startIdle(after time.Duration, expired func()) *idleTimer {
	t := &idleTimer{after: after, start: time.Now()}
	ready := make(chan struct{})
	t.timer = time.AfterFunc(after, func() {
		<-ready
		if left := t.after - (time.Since(t.start) - time.Duration(t.last.Load())); left > 0 {
			t.timer.Reset(left)
			return
		}
		expired()
	})
	close(ready)
	return t
}

func (t *idleTimer) touch() {
	if t != nil {
		t.last.Store(int64(time.Since(t.start)))
	}
}

func (t *idleTimer) stop() { t.timer.Stop() }
