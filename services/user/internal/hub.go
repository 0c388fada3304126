package internal

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// hub feeds all watchers of an instance from one poller. It holds the newest
// changes in one log that all watchers read; a watcher keeps nothing but its
// position in it. The log is bounded: whoever is slower than it is long has
// fallen behind, and the hub neither waits for it nor keeps anything for it.
//
// While nobody watches, nothing is polled.
type hub struct {
	store repository.Changes
	cfg   WatchConfig
	log   *slog.Logger
	// reads bounds how many watchers read the store at once, to catch up.
	reads chan struct{}
	wake  chan struct{}

	mu       sync.RWMutex
	watchers int
	stop     context.CancelFunc // ends feed when the last watcher leaves; nil while idle
	live     bool               // feed runs; what read says is current
	epoch    [8]byte
	floor    int64 // entries[i] is revision floor+1+i
	entries  []*entry
	bytes    int
	changed  chan struct{} // closed at each change of the above
}

// feedBatch is how many events are read from the store at once.
const feedBatch = 512

// The pauses after the store refused to answer, growing from the first to the
// last.
const minFeedPause, maxFeedPause = 100 * time.Millisecond, 2 * time.Second

func newHub(store repository.Changes, cfg WatchConfig, log *slog.Logger) *hub {
	return &hub{
		store: store, cfg: cfg, log: log,
		reads: make(chan struct{}, cfg.Readers), wake: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// subscribe counts a watcher in; it must call leave.
func (h *hub) subscribe() (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers++; h.watchers == 1 {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
	return h.unsubscribe
}

func (h *hub) unsubscribe() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers--; h.watchers == 0 {
		h.live = false
		if h.stop != nil {
			h.stop()
		}
	}
}

// run polls while there are watchers, until ctx ends.
func (h *hub) run(ctx context.Context) error {
	pause := minFeedPause
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
		for ctx.Err() == nil && h.watched() {
			began := time.Now()
			err := h.feed(ctx)
			if err == nil || ctx.Err() != nil {
				continue
			}
			if time.Since(began) > maxFeedPause {
				pause = minFeedPause
			}
			h.log.WarnContext(ctx, "read changes of users: watchers wait until it works again", "error", err, "pause", pause)
			wait(ctx, pause/2+rand.N(pause))
			pause = min(2*pause, maxFeedPause)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (h *hub) watched() bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.watchers > 0
}

// feed moves changes from the store to the log until nobody watches.
func (h *hub) feed(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !h.begin(cancel) {
		return nil
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return ignoreStopped(ctx, err)
	}
	tip := h.resume(head)
	for {
		if _, err := h.store.Wait(ctx, tip); err != nil {
			return ignoreStopped(ctx, err)
		}
		events, err := h.store.Events(ctx, tip, feedBatch)
		if errors.Is(err, repository.ErrCompacted) {
			h.forget()
		}
		if err != nil {
			return ignoreStopped(ctx, err)
		}
		if len(events) > 0 {
			tip = h.publish(events)
		}
	}
}

// ignoreStopped is nil when feed was stopped because nobody watches.
func ignoreStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// begin notes how feed is stopped; false when everybody left meanwhile.
func (h *hub) begin(stop context.CancelFunc) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stop = stop
	return h.watchers > 0
}

// resume makes the log current: it goes on where it ended, or begins anew at
// the head when it was idle for too long. It returns the revision to go on from.
func (h *hub) resume(head repository.Head) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	tip := h.tip()
	h.epoch = epochDigest(head.Epoch)
	if behind := head.Revision - tip; !h.live && (tip == 0 || behind < 0 || behind > int64(h.cfg.Ring)) {
		h.floor, h.entries, h.bytes = head.Revision, nil, 0
	}
	h.live = h.watchers > 0
	h.broadcast()
	return h.tip()
}

// forget drops the log, because the store dropped what comes after it.
func (h *hub) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.floor, h.entries, h.bytes, h.live = 0, nil, 0, false
	h.broadcast()
}

// publish appends events and drops the oldest beyond the bounds.
func (h *hub) publish(events []repository.Event) (tip int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range events {
		if events[i].Revision != h.tip()+1 {
			h.floor, h.entries, h.bytes = events[i].Revision-1, nil, 0
		}
		e := newEntry(&events[i])
		h.entries = append(h.entries, e)
		h.bytes += e.size
	}
	drop := 0
	for len(h.entries)-drop > 1 && (len(h.entries)-drop > h.cfg.Ring || h.bytes > h.cfg.RingBytes) {
		h.bytes -= h.entries[drop].size
		drop++
	}
	h.entries, h.floor = h.entries[drop:], h.floor+int64(drop)
	h.broadcast()
	return h.tip()
}

func (h *hub) tip() int64 { return h.floor + int64(len(h.entries)) }

func (h *hub) broadcast() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// view is what a watcher sees of the log from its position.
type view struct {
	live    bool            // the log is current; otherwise wait for changed
	behind  bool            // the log does not reach back to the position
	entries []*entry        // what comes next, at most what was asked for
	changed <-chan struct{} // closed when there is more
}

// read returns what comes after a position. It does not block.
func (h *hub) read(after int64, limit int) view {
	h.mu.RLock()
	defer h.mu.RUnlock()
	v := view{live: h.live, changed: h.changed}
	if !h.live {
		return v
	}
	if v.behind = after < h.floor; v.behind || after >= h.tip() {
		return v
	}
	v.entries = h.entries[after-h.floor:]
	v.entries = v.entries[:min(limit, len(v.entries))]
	return v
}

// knows reports whether a revision is known to exist without asking the store.
func (h *hub) knows(revision int64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.live && revision <= h.tip()
}

// acquire takes one of the slots for reading the store; release gives it back.
func (h *hub) acquire(ctx context.Context) error {
	select {
	case h.reads <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hub) release() { <-h.reads }
