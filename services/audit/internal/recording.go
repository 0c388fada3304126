package internal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/audit/repository"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

const (
	// bookmarkEvery is how often a watch shows that it lives.
	bookmarkEvery = time.Second
	// cursorEvery is how often the cursor is stored while nothing changes.
	cursorEvery = 10 * time.Second
)

// recording is the work under one lease. It belongs to one goroutine.
type recording struct {
	*Recorder
	fence  int64
	state  repository.State // of the history, as the store last told it
	stored time.Time        // when that was
	anew   bool             // the cursor is of no use: begin with the users as they are
	failed backoff
}

// storeError marks what the store said, to be told from what the watch said.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// run watches, again and again, until the context ends or the store fails: what
// it then holds of the history may be wrong.
func (r *recording) run(ctx context.Context) error {
	for ctx.Err() == nil {
		received, err := r.watch(ctx)
		var failed storeError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, repository.ErrRepeated):
			r.log.ErrorContext(ctx, "the user service told a change that the history has already: the history compares all users", "error", err)
			r.anew = true
		case errors.As(err, &failed):
			return failed.error
		}
		if received {
			r.failed = backoff{}
		}
		wait(ctx, r.pauseAfter(ctx, err, received))
	}
	return nil
}

// pauseAfter decides when, and from where, to watch after a watch has ended.
func (r *recording) pauseAfter(ctx context.Context, err error, received bool) time.Duration {
	reason := reasonOf(err)
	if errors.Is(err, errSilent) {
		reason = "SILENT"
	}
	r.metrics.watches.WithLabelValues(reason).Inc()
	resuming := r.state.Cursor != "" && !r.state.Syncing
	switch code := errs.Code(err); {
	case resuming && (code == codes.OutOfRange || code == codes.InvalidArgument):
		r.log.WarnContext(ctx, "the user service cannot go on from where the history ends: it gets a gap", "reason", reason, "position", r.state.Position)
		r.anew = true
		return 0
	case received && (code == codes.Aborted || reason == errs.ReasonDraining): // it said: watch again
		return 0
	}
	pause := r.failed.next()
	r.log.InfoContext(ctx, "watch users again", "reason", reason, "error", err, "pause", pause)
	return pause
}

// watch follows one stream. It reports whether anything came of it, and why it
// ended.
func (r *recording) watch(ctx context.Context) (received bool, err error) {
	req, err := r.begin(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	in := make(chan *userv1.WatchUsersResponse, r.cfg.Batch)
	ended := make(chan error, 1)
	go func() { ended <- r.receive(ctx, req, in) }()
	defer func() {
		cancel(nil)
		if end := <-ended; err == nil {
			err = end
		}
	}()
	silence := time.AfterFunc(r.patience(), func() { cancel(errSilent) })
	defer silence.Stop()
	for first := range in {
		silence.Stop() // it is the watch that must be quick, not the store
		received = true
		if err := r.record(ctx, collect(first, in, r.cfg.Batch)); err != nil {
			return received, err
		}
		silence.Reset(r.patience())
	}
	return received, nil
}

var errSilent = errors.New("the watch of users was silent for too long")

func (r *recording) patience() time.Duration {
	if r.state.Syncing {
		return 4 * r.cfg.Silence
	}
	return r.cfg.Silence
}

// receive moves what the user service sends into in, and closes it.
func (r *recording) receive(ctx context.Context, req *userv1.WatchUsersRequest, in chan<- *userv1.WatchUsersResponse) error {
	defer close(in)
	stream, err := r.users.WatchUsers(ctx, req)
	for err == nil {
		var m *userv1.WatchUsersResponse
		if m, err = stream.Recv(); err != nil {
			break
		}
		select {
		case in <- m:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
		return cause
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the user service ended the watch without saying why")
	}
	return err
}

// collect returns first and what has come after it, up to a batch.
func collect(first *userv1.WatchUsersResponse, in <-chan *userv1.WatchUsersResponse, most int) []*userv1.WatchUsersResponse {
	batch := []*userv1.WatchUsersResponse{first}
	for len(batch) < most {
		select {
		case m, ok := <-in:
			if !ok {
				return batch
			}
			batch = append(batch, m)
		default:
			return batch
		}
	}
	return batch
}

// begin says where to watch from: after the cursor, or with the users as they
// are. Then the history gets a gap, unless its last one is still open, and what
// is known of users is compared with them.
func (r *recording) begin(ctx context.Context) (*userv1.WatchUsersRequest, error) {
	req := &userv1.WatchUsersRequest{ShowDeleted: true, BookmarkInterval: durationpb.New(bookmarkEvery)}
	if !r.anew && !r.state.Syncing && r.state.Cursor != "" {
		req.StartRevision = r.state.Cursor
		return req, nil
	}
	whole := true
	req.IncludeInitialState = &whole
	b := repository.Batch{Syncing: true, Generation: r.state.Generation + 1}
	if r.anew || !r.state.Syncing {
		b.Changes = []repository.Change{{Kind: repository.KindGap}}
	}
	err := r.append(ctx, b)
	r.anew = r.anew && err != nil
	return req, err
}

// record stores what a piece of the watch says. The end of the initial state is
// a piece of its own.
func (r *recording) record(ctx context.Context, messages []*userv1.WatchUsersResponse) error {
	for i, m := range messages {
		if !m.GetInitialStateEnd() {
			continue
		}
		if err := r.recordPage(ctx, messages[:i]); err != nil {
			return err
		}
		if err := r.synced(ctx, m.GetRevision()); err != nil {
			return err
		}
		return r.record(ctx, messages[i+1:])
	}
	return r.recordPage(ctx, messages)
}

func (r *recording) recordPage(ctx context.Context, messages []*userv1.WatchUsersResponse) error {
	if len(messages) == 0 {
		return nil
	}
	var uids []string
	for _, m := range messages {
		if m.GetUser() != nil {
			uids = append(uids, m.GetUser().GetUid())
		}
	}
	p := newPage(r.state.Syncing, nil)
	if len(uids) > 0 {
		known, err := r.store.Subjects(ctx, uids)
		if err != nil {
			return storeError{err}
		}
		p.known = known
	}
	cursor, complete := r.state.Cursor, time.Now()
	for _, m := range messages {
		if m.GetRevision() != "" {
			cursor = m.GetRevision()
		}
		purged := m.GetType() == userv1.WatchUsersResponse_TYPE_DELETED
		if m.GetUser() != nil {
			p.see(m.GetUser(), purged)
		}
		if complete = time.Now(); m.GetUser() != nil && !purged { // when it was purged is not told
			complete = m.GetUser().GetUpdateTime().AsTime()
		}
	}
	r.metrics.repeats.Add(float64(p.repeats))
	b := p.batch()
	b.Cursor, b.Syncing, b.Generation = cursor, r.state.Syncing, r.state.Generation
	if len(b.Changes)+len(b.Known)+len(b.Gone) > 0 || cursor != r.state.Cursor && time.Since(r.stored) >= cursorEvery {
		if err := r.append(ctx, b); err != nil {
			return err
		}
	}
	if !r.state.Syncing {
		r.waits.Store(nil)
		r.metrics.complete(complete)
	}
	return nil
}

// synced ends a comparison: who is known and was not shown was purged meanwhile.
func (r *recording) synced(ctx context.Context, revision string) error {
	for {
		missing, err := r.store.Unseen(ctx, r.state.Generation, r.cfg.Batch)
		if err != nil {
			return storeError{err}
		}
		p := newPage(true, map[string]repository.Subject{})
		for _, s := range missing {
			p.miss(s)
		}
		b := p.batch()
		b.Generation = r.state.Generation
		b.Syncing = len(missing) == r.cfg.Batch
		if !b.Syncing {
			b.Cursor = revision
		}
		if err := r.append(ctx, b); err != nil {
			return err
		}
		if !b.Syncing {
			r.log.InfoContext(ctx, "the history has compared all users, and goes on from them", "position", r.state.Position)
			return nil
		}
	}
}

// append stores a batch as the next step of the history.
func (r *recording) append(ctx context.Context, b repository.Batch) error {
	b.Fence, b.From = r.fence, r.state
	next, err := r.store.Append(ctx, b, r.cfg.Lease)
	if err != nil {
		return storeError{fmt.Errorf("append %d changes after position %d: %w", len(b.Changes), b.From.Position, err)}
	}
	r.state, r.stored = next, time.Now()
	r.waits.Store(nil)
	r.metrics.appended(b.Changes)
	if len(b.Changes) > 0 {
		r.appended()
	}
	return nil
}
