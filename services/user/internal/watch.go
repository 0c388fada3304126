package internal

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// WatchConfig bounds WatchUsers. The zero value works.
type WatchConfig struct {
	// Bookmark is how long a stream is silent before it gets a bookmark, unless
	// the request says otherwise; 0: 30 s.
	Bookmark time.Duration `yaml:"bookmark" default:"30s" min:"1ms" doc:"how long a watch is silent before it gets a bookmark"`
	// MaxAge is when a stream ends itself with a token, less up to a tenth at
	// random; 0: 10 min. It must be below the grace that connections get when
	// they reach their age: then a watch ends by itself, with a token, however
	// late in a connection's life it began.
	MaxAge time.Duration `yaml:"max_age" default:"10m" min:"1s" doc:"when a watch ends itself with a token to resume, less up to a tenth at random; below grpc.connection_age_grace"`
	// Ring is how many changes a watcher may be late before it is cut off;
	// 0: 4096.
	Ring int `yaml:"ring" default:"4096" min:"1" doc:"how many changes a watcher may be late before it is cut off"`
	// RingBytes bounds the memory of these changes; 0: 32 MiB.
	RingBytes int `yaml:"ring_bytes" default:"33554432" min:"65536" doc:"memory of these changes in bytes; fewer are kept when they are large"`
	// Readers is how many watchers read the store at once to catch up; 0: 4.
	Readers int `yaml:"readers" default:"4" min:"1" doc:"how many watchers read the store at once to catch up"`
}

func (c WatchConfig) withDefaults() WatchConfig {
	c.Bookmark = orDefault(c.Bookmark, 30*time.Second)
	c.MaxAge = orDefault(c.MaxAge, 10*time.Minute)
	c.Ring = orDefault(c.Ring, 4096)
	c.RingBytes = orDefault(c.RingBytes, 32<<20)
	c.Readers = orDefault(c.Readers, 4)
	return c
}

// What a request may ask for as bookmark_interval.
const minBookmark, maxBookmark = time.Second, 10 * time.Minute

// watchBatch is how many changes are taken from the log at once.
const watchBatch = 64

// watcher is one WatchUsers stream. Its goroutine waits; only while there is
// something to send, a second one sends, so that a client that does not read
// cannot keep the stream from being cut off.
type watcher struct {
	h        *Handler
	stream   grpc.ServerStreamingServer[userv1.WatchUsersResponse]
	ctx      context.Context
	draining <-chan struct{}
	visibility
	epoch  [8]byte
	every  time.Duration // between bookmarks
	last   time.Time     // of the last message
	age    time.Time     // when the stream ends itself
	timer  *time.Timer
	after  int64        // all changes up to here are sent, or out of view
	resume atomic.Int64 // likewise, while a batch is being sent; 0: not to be resumed
	joined bool         // the log has reached back to the position
}

// WatchUsers streams changes (see the contract in user.proto).
func (h *Handler) WatchUsers(req *userv1.WatchUsersRequest, stream grpc.ServerStreamingServer[userv1.WatchUsersResponse]) error {
	filter, initial, err := h.filters.parseWatch(req)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	epoch, err := h.epochOf(ctx)
	if err != nil {
		return h.status(err)
	}
	leave := h.hub.subscribe()
	defer leave()
	now := time.Now()
	w := &watcher{
		h: h, stream: stream, ctx: ctx, draining: h.draining(ctx), epoch: epoch, every: h.bookmarkEvery(req),
		last: now, age: now.Add(h.cfg.Watch.MaxAge - rand.N(h.cfg.Watch.MaxAge/10+1)),
		visibility: visibility{filter: filter, deleted: req.GetShowDeleted()},
	}
	w.timer = time.NewTimer(w.untilDue())
	defer w.timer.Stop()
	h.metrics.watchers.Inc()
	defer h.metrics.watchers.Dec()
	err = w.start(initial, req.GetStartRevision())
	if err == nil {
		err = w.follow()
	}
	err = h.status(err)
	h.metrics.watchEnded(errs.Reason(err))
	return err
}

// parseWatch returns what a watch is to see, and whether it begins with the users
// as they are.
func (p *filterParser) parseWatch(req *userv1.WatchUsersRequest) (filter repository.Filter, initial bool, err error) {
	filter, badFilter := p.parse("filter", req.GetFilter())
	initial, badStart := wantsInitialState(req)
	var badRevision error
	if token := req.GetStartRevision(); token != "" {
		if _, _, err := openRevision(token); err != nil {
			badRevision = invalid("start_revision", "is not a revision of this service; pass it unchanged, or nothing to begin anew")
		}
	}
	var v violations
	for _, err := range []error{badFilter, badStart, badRevision} {
		if err := v.take(err); err != nil {
			return nil, false, err
		}
	}
	return filter, initial, v.err()
}

// wantsInitialState reports whether the watch begins with the users as they
// are: if it says so, or says nothing and has no revision to begin from.
func wantsInitialState(req *userv1.WatchUsersRequest) (bool, error) {
	if req.IncludeInitialState == nil {
		return req.GetStartRevision() == "", nil
	}
	if req.GetIncludeInitialState() && req.GetStartRevision() != "" {
		return false, invalid("include_initial_state", "excludes start_revision: a revision resumes a watch, the initial state begins one")
	}
	return req.GetIncludeInitialState(), nil
}

func (h *Handler) bookmarkEvery(req *userv1.WatchUsersRequest) time.Duration {
	if req.GetBookmarkInterval() == nil {
		return h.cfg.Watch.Bookmark
	}
	return max(minBookmark, min(req.GetBookmarkInterval().AsDuration(), maxBookmark))
}

// start finds the position to watch from.
func (w *watcher) start(initial bool, token string) error {
	switch {
	case initial:
		return w.sendInitial()
	case token != "":
		return w.startAt(token)
	}
	head, err := w.h.store.Head(w.ctx)
	if err != nil {
		return err
	}
	w.moveTo(head.Revision)
	return w.bookmark(false)
}

func (w *watcher) startAt(token string) error {
	epoch, revision, err := openRevision(token)
	if err != nil {
		return err
	}
	unknown := own(errs.OutOfRange(ReasonRevisionUnknown, "the revision is not one of this store, which was restored or replaced; list the users again and watch from the revision of the list"))
	if epoch != w.epoch {
		return unknown
	}
	if !w.h.hub.knows(revision) {
		head, err := w.h.store.Head(w.ctx)
		if err != nil {
			return err
		}
		if revision > head.Revision {
			return unknown
		}
	}
	w.moveTo(revision)
	return nil
}

// moveTo sets the position, which is also where the watch would be resumed.
func (w *watcher) moveTo(revision int64) {
	w.after = revision
	w.resume.Store(revision + 1)
}

// token is where the client goes on after the stream; empty while the initial
// state is not complete.
func (w *watcher) token() string {
	if r := w.resume.Load(); r > 0 {
		return sealRevision(w.epoch, r-1)
	}
	return ""
}

// follow sends what happens after the position until the stream ends.
func (w *watcher) follow() error {
	for {
		if err := w.ended(); err != nil {
			return err
		}
		v := w.h.hub.read(w.after, watchBatch)
		switch {
		case v.behind && w.joined:
			return w.slow()
		case v.behind:
			if err := w.catchUp(v.changed); err != nil {
				return err
			}
		case len(v.entries) > 0:
			w.joined = true
			if err := w.send(v.entries); err != nil {
				return err
			}
		default:
			w.joined = w.joined || v.live
			if err := w.idle(v.changed); err != nil {
				return err
			}
		}
	}
}

// idle waits for a change, or until a bookmark is due.
func (w *watcher) idle(changed <-chan struct{}) error {
	select {
	case <-changed:
	case <-w.draining:
	case <-w.ctx.Done():
	case <-w.timer.C:
		defer func() { w.timer.Reset(w.untilDue()) }()
		if time.Since(w.last) >= w.every && time.Now().Before(w.age) {
			return w.bookmark(false)
		}
	}
	return nil
}

// untilDue is when the timer must wake the watcher: for a bookmark, or for its
// end.
func (w *watcher) untilDue() time.Duration {
	return max(0, min(w.every-time.Since(w.last), time.Until(w.age)))
}

// ended is why the stream must end now; nil when it need not.
func (w *watcher) ended() error {
	select {
	case <-w.draining:
		return errs.Draining(w.token())
	case <-w.ctx.Done():
		return w.ctx.Err()
	default:
	}
	if w.resume.Load() > 0 && !time.Now().Before(w.age) {
		return w.expired()
	}
	return nil
}

func (w *watcher) expired() error {
	return w.resumable(errs.Aborted(ReasonWatchExpired, "the watch has reached its age; watch again from the resume token"))
}

func (w *watcher) slow() error {
	return w.resumable(errs.Aborted(ReasonSlowConsumer, "the client read too slowly: it is more than %d changes late; watch again from the resume token", w.h.cfg.Watch.Ring))
}

// resumable adds the token to an error, when there is one.
func (w *watcher) resumable(e *errs.Error) error {
	if token := w.token(); token != "" {
		return own(e, errs.Meta(errs.MetaResumeToken, token))
	}
	return own(e)
}

// catchUp reads one batch from the store, for a watch that begins before what
// the log holds.
func (w *watcher) catchUp(changed <-chan struct{}) error {
	events, err := w.readStore(w.after, feedBatch)
	switch {
	case err != nil:
		return err
	case len(events) == 0:
		return w.idle(changed)
	}
	entries := make([]*entry, len(events))
	for i := range events {
		entries[i] = newEntry(&events[i])
	}
	return w.send(entries)
}

func (w *watcher) readStore(after int64, limit int) ([]repository.Event, error) {
	if err := w.h.hub.acquire(w.ctx); err != nil {
		return nil, err
	}
	defer w.h.hub.release()
	return w.h.store.Events(w.ctx, after, limit)
}

// send sends those of the entries that are in view.
func (w *watcher) send(entries []*entry) error {
	var out []outgoing
	for _, e := range entries {
		if t := w.typeOf(&e.event); t != userv1.WatchUsersResponse_TYPE_UNSPECIFIED {
			out = append(out, outgoing{e.message(t, w.epoch), e.event.Revision})
		}
	}
	if err := w.deliver(out); err != nil {
		return err
	}
	w.moveTo(entries[len(entries)-1].event.Revision)
	return nil
}

func (w *watcher) bookmark(initialStateEnd bool) error {
	return w.deliver([]outgoing{{&userv1.WatchUsersResponse{
		Type: userv1.WatchUsersResponse_TYPE_BOOKMARK, Revision: sealRevision(w.epoch, w.after), InitialStateEnd: initialStateEnd,
	}, w.after}})
}
