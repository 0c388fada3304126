package internal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// How often the tail looks for changes that another instance has appended: at
// first, and when nothing has happened for a while.
const minLook, maxLook = 10 * time.Millisecond, 100 * time.Millisecond

// tail tells all Follow streams of an instance how long the history is. While
// there are none it does not look.
type tail struct {
	store repository.History
	log   *slog.Logger
	wake  chan struct{}

	mu      sync.Mutex
	streams int
	head    int64
	changed chan struct{} // closed when head grows
}

func newTail(store repository.History, log *slog.Logger) *tail {
	return &tail{store: store, log: log, wake: make(chan struct{}, 1), changed: make(chan struct{})}
}

// join counts a stream in; it must call leave.
func (t *tail) join() (leave func()) {
	t.count(1)
	t.nudge()
	return func() { t.count(-1) }
}

func (t *tail) count(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.streams += n
}

func (t *tail) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.streams == 0
}

// nudge makes run look at once.
func (t *tail) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// look returns how long the history is, at least, and what is closed when it has
// grown.
func (t *tail) look() (head int64, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head, t.changed
}

// run looks until the context ends. It returns nil.
func (t *tail) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var failed backoff
	for pause := minLook; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-t.wake:
		case <-timer.C:
		}
		if t.idle() {
			continue // until nudged
		}
		head, err := t.store.Head(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			pause = failed.next()
			t.log.WarnContext(ctx, "look for new changes: Follow streams wait until it works again", "error", err, "pause", pause)
		case t.grow(head):
			pause, failed = minLook, backoff{}
		default:
			pause, failed = min(pause+pause/4, maxLook), backoff{}
		}
		timer.Reset(pause)
	}
}

// grow takes a new head and reports whether it is one.
func (t *tail) grow(head int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if head <= t.head {
		return false
	}
	t.head = head
	close(t.changed)
	t.changed = make(chan struct{})
	return true
}
