package internal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/keelson-dev/keelson/errs"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// run hands out changes until there is a reason to end. io.EOF is the orderly
// one.
func (f *follower) run() error {
	for {
		if err := f.ended(); err != nil {
			return err
		}
		changed := f.load()
		f.keep()
		out, msg := f.next()
		f.wakeUp.Reset(f.untilDue())
		select {
		case out <- msg:
			f.passed(msg)
		case req := <-f.in:
			if err := f.take(req); err != nil {
				return err
			}
		case r := <-f.loaded:
			if f.loading = false; r.err != nil {
				return r.err
			}
			if len(r.value) == 0 || r.value[0].Position != f.last+1 {
				return fmt.Errorf("the history has no change at position %d although it is longer", f.last+1)
			}
			f.queue = r.value
		case r := <-f.stored:
			if f.storing = false; r.err != nil {
				return r.err
			}
			f.consumer.Position = max(f.consumer.Position, r.value)
		case err := <-f.sent:
			return err
		case <-changed:
		case <-f.wakeUp.C:
		case <-f.draining:
		case <-f.ctx.Done():
		}
	}
}

// ended is why the stream must end now; nil when it need not.
func (f *follower) ended() error {
	select {
	case <-f.draining:
		return errs.Draining(f.token())
	case <-f.ctx.Done():
		return f.ctx.Err()
	default:
	}
	now := time.Now()
	switch {
	case !f.blocked.IsZero() && now.Sub(f.blocked) >= f.follow.AckTimeout:
		return f.resumable(errs.Aborted(ReasonSlowConsumer, "a change has waited for %s because the client does not acknowledge, or does not read; start again", f.follow.AckTimeout))
	case !now.Before(f.expires):
		return f.resumable(errs.Aborted(ReasonFollowExpired, "the stream has reached its age; start again"))
	}
	return nil
}

// token is the position to go on from.
func (f *follower) token() string { return strconv.FormatInt(f.acked, 10) }

func (f *follower) resumable(e *errs.Error) error {
	return own(e, errs.Meta(errs.MetaResumeToken, f.token()))
}

// start runs f beside the stream, whose end it does not outlive.
func start[T any](f *follower, done chan<- outcome[T], do func(context.Context) (T, error)) {
	f.work.Go(func() {
		v, err := do(f.ctx)
		done <- outcome[T]{v, err}
	})
}

// load reads the next changes, when there are some and none is waiting. What it
// returns is closed when there may be some.
func (f *follower) load() (changed <-chan struct{}) {
	if f.loading || len(f.queue) > 0 {
		return nil
	}
	head, changed := f.tail.look()
	if head <= f.last {
		return changed
	}
	f.loading = true
	q := repository.Query{After: f.last, Limit: int(min(f.window, loadBatch))}
	start(f, f.loaded, func(ctx context.Context) ([]repository.Change, error) { return f.store.List(ctx, q) })
	return nil
}

// keep stores acknowledgements, and otherwise looks now and then whether the
// consumer was started elsewhere.
func (f *follower) keep() {
	if !f.named {
		f.consumer.Position = f.acked
		return
	}
	since := time.Since(f.tried)
	c := f.consumer
	c.Position = f.acked
	switch {
	case f.storing:
	case f.acked > f.consumer.Position && since >= storeEvery:
		f.storing, f.tried = true, time.Now()
		start(f, f.stored, func(ctx context.Context) (int64, error) { return c.Position, f.store.Acknowledge(ctx, c) })
	case since >= checkEvery:
		f.storing, f.tried = true, time.Now()
		start(f, f.stored, func(ctx context.Context) (int64, error) { return 0, f.store.Check(ctx, c) })
	}
}

// next is what to send now, and where; nothing while the window is full.
func (f *follower) next() (chan<- *auditv1.FollowResponse, *auditv1.FollowResponse) {
	switch {
	case f.consumer.Position > f.told:
		return f.out, acknowledged(f.consumer.Position)
	case len(f.queue) == 0:
		f.blocked = time.Time{}
		return nil, nil
	}
	if f.blocked.IsZero() {
		f.blocked = time.Now()
	}
	if f.last-f.acked >= f.window {
		return nil, nil
	}
	return f.out, &auditv1.FollowResponse{Message: &auditv1.FollowResponse_Change{Change: toProto(&f.queue[0])}}
}

func acknowledged(position int64) *auditv1.FollowResponse {
	return &auditv1.FollowResponse{Message: &auditv1.FollowResponse_Acknowledged_{Acknowledged: &auditv1.FollowResponse_Acknowledged{Position: position}}}
}

// passed notes that a message goes to the client.
func (f *follower) passed(msg *auditv1.FollowResponse) {
	if a := msg.GetAcknowledged(); a != nil {
		f.told = a.GetPosition()
		return
	}
	f.last = msg.GetChange().GetPosition()
	f.queue, f.blocked = f.queue[1:], time.Time{}
}

// take notes what the client sent.
func (f *follower) take(req followRequest) error {
	switch {
	case req.end != nil:
		return req.end
	case req.GetStart() != nil:
		return invalid("start", "comes once, as the first message")
	case req.GetAck() == nil:
		return invalid("ack", "must be set in every message after start")
	}
	position := req.GetAck().GetPosition()
	if position > f.last {
		return invalid("ack.position", "was not sent on this stream; acknowledge positions of changes that were received on it")
	}
	if position > f.acked {
		f.acked, f.blocked = position, time.Time{}
	}
	return nil
}

// untilDue is when the stream must wake up although nothing comes: to store, to
// check, or to end.
func (f *follower) untilDue() time.Duration {
	due := min(time.Until(f.expires), checkEvery)
	if f.named && !f.storing && f.acked > f.consumer.Position {
		due = min(due, storeEvery-time.Since(f.tried))
	}
	if !f.blocked.IsZero() {
		due = min(due, f.follow.AckTimeout-time.Since(f.blocked))
	}
	return max(due, 0)
}

// finish stores what was acknowledged, whatever ended the stream; at its orderly
// end it says so to the client.
func (f *follower) finish(cause error) error {
	orderly := errors.Is(cause, io.EOF)
	if f.named && f.acked > f.consumer.Position && !errors.Is(cause, repository.ErrTakenOver) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), endGrace)
		defer cancel()
		c := f.consumer
		c.Position = f.acked
		if err := f.store.Acknowledge(ctx, c); err != nil {
			if orderly {
				return err
			}
			return cause
		}
		f.consumer.Position = c.Position
	}
	if !orderly {
		return cause
	}
	f.consumer.Position = f.acked
	if f.consumer.Position > f.told {
		if err := f.offer(acknowledged(f.consumer.Position)); err != nil {
			return err
		}
	}
	close(f.out)
	return f.sentAll()
}

// sentAll waits, within a time, until what was passed on is sent.
func (f *follower) sentAll() error {
	limit := time.NewTimer(endGrace)
	defer limit.Stop()
	select {
	case err := <-f.sent:
		return err
	case <-limit.C:
		return f.resumable(errs.Aborted(ReasonSlowConsumer, "the client does not read; start again"))
	}
}

// offer passes a message to the goroutine that sends, within a time.
func (f *follower) offer(msg *auditv1.FollowResponse) error {
	limit := time.NewTimer(f.follow.AckTimeout)
	defer limit.Stop()
	select {
	case f.out <- msg:
		return nil
	case err := <-f.sent:
		return err
	case <-f.draining:
		return errs.Draining(f.token())
	case <-limit.C:
		return f.resumable(errs.Aborted(ReasonSlowConsumer, "the client does not read; start again"))
	case <-f.ctx.Done():
		return f.ctx.Err()
	}
}
