package internal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// RecorderConfig bounds what continues the history. The zero value works.
type RecorderConfig struct {
	// Lease is how long an instance that continues the history may be silent
	// before another one takes over; 0: 2 s.
	Lease time.Duration `yaml:"lease" default:"2s" min:"10ms" doc:"how long the instance that continues the history may be silent before another one takes over"`
	// Batch is how many changes at most are stored in one transaction; 0: 500.
	Batch int `yaml:"batch" default:"500" min:"1" max:"10000" doc:"changes that are stored in one transaction, at most"`
	// Silence ends a watch of users on which nothing came for so long, not even
	// the bookmark of every second; 0: 5 s. The comparison after a gap is given
	// four times as much.
	Silence time.Duration `yaml:"silence" default:"5s" min:"2s" doc:"gives up a watch of users on which nothing came for so long, and watches at another instance"`
}

func (c RecorderConfig) withDefaults() RecorderConfig {
	c.Lease = orDefault(c.Lease, 2*time.Second)
	c.Batch = orDefault(c.Batch, 500)
	c.Silence = orDefault(c.Silence, 5*time.Second)
	return c
}

// The pauses after something failed, growing from the first to the last.
const minPause, maxPause = 100 * time.Millisecond, 3 * time.Second

// Recorder continues the history with what the user service tells. All instances
// run one; a lease in the store lets one of them work at a time:
//
//	waiting ──lease acquired──> recording
//	   ^                            │
//	   └──lease lost, store failed──┘
//
// Correctness does not hang on the lease, which only keeps instances from
// getting in each other's way: every append says which state of the history it
// continues, and the store refuses it if the history has moved or the lease has
// been given to somebody else.
type Recorder struct {
	settings
	store repository.Ledger
	users userv1.UserServiceClient
	owner string
	cfg   RecorderConfig
	waits atomic.Pointer[error] // what Check says
}

// NewRecorder returns a recorder. owner names this one among all, also those of
// processes that have ended.
func NewRecorder(store repository.Ledger, users userv1.UserServiceClient, owner string, cfg RecorderConfig, opts ...Option) *Recorder {
	return &Recorder{settings: newSettings(opts), store: store, users: users, owner: owner, cfg: cfg.withDefaults()}
}

// Check says why the history waits: what the store said when this recorder last
// tried to continue it. It is nil as soon as the history has been continued, or
// somebody else continues it. It is safe for concurrent use and does not block.
func (r *Recorder) Check(context.Context) error {
	if err := r.waits.Load(); err != nil {
		return fmt.Errorf("the history waits: %w", *err)
	}
	return nil
}

// Run continues the history until the context ends, whenever it is this
// recorder's turn. It returns nil: what fails is logged and tried again.
func (r *Recorder) Run(ctx context.Context) error {
	failed := backoff{}
	for ctx.Err() == nil {
		lease, err := r.store.Acquire(ctx, r.owner, r.cfg.Lease)
		switch {
		case errors.Is(err, repository.ErrHeld):
			failed = backoff{}
			r.yield()
			wait(ctx, r.cfg.Lease/16+rand.N(r.cfg.Lease/8))
			continue
		case err == nil:
			began := time.Now()
			if err = r.lead(ctx, lease); time.Since(began) > maxPause {
				failed = backoff{}
			}
		}
		if err != nil && ctx.Err() == nil {
			pause := failed.next()
			r.waits.Store(&err)
			r.log.WarnContext(ctx, "the history waits: its store failed", "error", err, "pause", pause)
			wait(ctx, pause)
		}
	}
	return nil
}

// lead records while the lease lasts. It returns nil when the lease was lost, or
// what the store said.
func (r *Recorder) lead(ctx context.Context, lease repository.Lease) error {
	r.log.InfoContext(ctx, "this instance continues the history", "position", lease.State.Position, "fence", lease.Fence)
	r.metrics.lead(true)
	defer r.metrics.lead(false)
	recordingCtx, lost := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { r.renew(recordingCtx, lease.Fence, lost) })
	err := (&recording{Recorder: r, fence: lease.Fence, state: lease.State}).run(recordingCtx)
	if cause := context.Cause(recordingCtx); errors.Is(cause, repository.ErrFenced) {
		err = cause
	}
	lost(nil)
	renewing.Wait()
	if errors.Is(err, repository.ErrFenced) {
		r.log.InfoContext(ctx, "another instance continues the history")
		r.yield()
		return nil
	}
	r.release(ctx, lease.Fence)
	return err
}

// yield notes that the history is somebody else's to continue.
func (r *Recorder) yield() {
	r.waits.Store(nil)
	r.metrics.yield()
}

// renew keeps the lease until it is lost or the context ends.
func (r *Recorder) renew(ctx context.Context, fence int64, lost context.CancelCauseFunc) {
	for {
		wait(ctx, r.cfg.Lease/4)
		if ctx.Err() != nil {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, r.cfg.Lease)
		err := r.store.Renew(attempt, fence, r.cfg.Lease)
		cancel()
		if errors.Is(err, repository.ErrFenced) {
			lost(err)
			return
		}
	}
}

// release lets another instance take over at once, also when this one stops.
func (r *Recorder) release(ctx context.Context, fence int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Lease)
	defer cancel()
	if err := r.store.Release(ctx, fence); err != nil {
		r.log.InfoContext(ctx, "the lease ends by itself: releasing it failed", "error", err)
	}
}

// backoff is a growing pause. The zero value begins with the shortest.
type backoff struct{ last time.Duration }

// next returns the pause with jitter, and lets it grow.
func (b *backoff) next() time.Duration {
	b.last = min(max(2*b.last, minPause), maxPause)
	return b.last/2 + rand.N(b.last/2)
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
