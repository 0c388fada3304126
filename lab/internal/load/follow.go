package load

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// Follow consumes the audit history after a position until the context ends,
// acknowledging each change, and resumes wherever the stream breaks. It keeps
// the position that it has reached, as the contract asks of consumers, and so
// sees each change once.
func Follow(ctx context.Context, audit auditv1.AuditServiceClient, consumer, prefix string, after int64, clock history.Clock, to *history.Stream) {
	f := &follower{consumer: consumer, prefix: "users/" + prefix + "-", position: after, clock: clock, to: to}
	var broken *history.Break
	for ctx.Err() == nil {
		opened, cancel := context.WithCancel(ctx)
		err := f.once(opened, audit, &broken)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		broken = ended(to, broken, err, clock)
		sleep(ctx, again)
	}
}

type follower struct {
	consumer, prefix string
	position         int64
	clock            history.Clock
	to               *history.Stream
}

// once follows until the stream ends.
func (f *follower) once(ctx context.Context, audit auditv1.AuditServiceClient, broken **history.Break) error {
	s, err := audit.Follow(ctx)
	if err != nil {
		return err
	}
	start := &auditv1.FollowRequest_Start{Consumer: f.consumer, AfterPosition: f.position}
	if err := s.Send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Start_{Start: start}}); err != nil {
		_, err = s.Recv()
		return err
	}
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		if *broken != nil {
			(*broken).Back = f.clock.Now()
			f.to.Broke(**broken)
			*broken = nil
		}
		if c := m.GetChange(); c != nil {
			f.change(c)
			_ = s.Send(&auditv1.FollowRequest{Message: &auditv1.FollowRequest_Ack_{Ack: &auditv1.FollowRequest_Ack{Position: c.GetPosition()}}}) // Recv tells why it failed
		}
	}
}

// change takes the next change: one that was seen is handed out again after a
// break, one that leaves others out is a fault.
func (f *follower) change(c *auditv1.Change) {
	switch {
	case c.GetPosition() <= f.position:
		return
	case c.GetPosition() != f.position+1:
		f.to.Fault("position " + strconv.FormatInt(c.GetPosition(), 10) + " came after " + strconv.FormatInt(f.position, 10))
	}
	f.position = c.GetPosition()
	if c.GetKind() == auditv1.Change_KIND_GAP || c.GetInferred() {
		f.to.Fault("the history has a gap at position " + strconv.FormatInt(f.position, 10))
	}
	if strings.HasPrefix(c.GetUser(), f.prefix) {
		f.to.Add(auditEvent(c, f.clock))
	}
}

func auditEvent(c *auditv1.Change, clock history.Clock) history.Event {
	return history.Event{At: clock.Now(), Key: c.GetUser(), Etag: c.GetUserEtag(), Deleted: c.GetKind() == auditv1.Change_KIND_DELETED, Revision: strconv.FormatInt(c.GetPosition(), 10)}
}
