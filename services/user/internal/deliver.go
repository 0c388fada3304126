package internal

import (
	"time"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// outgoing is a message and where to resume after it; 0: nowhere.
type outgoing struct {
	msg      *userv1.WatchUsersResponse
	revision int64
}

// How long a client may take to read what is being sent to it: once the
// instance drains, once the stream has reached its age, and for a piece of the
// initial state.
const (
	drainGrace   = time.Second
	endGrace     = time.Second
	initialGrace = time.Minute
)

// deliver sends messages in a goroutine of its own, and returns when they are
// sent or when there is a reason not to wait for that: the client does not read
// and has fallen behind, or the stream must end. In these cases the goroutine
// is left in Send, which gRPC ends as soon as the handler has returned.
func (w *watcher) deliver(out []outgoing) error {
	if len(out) == 0 {
		return nil
	}
	sent := make(chan error, 1)
	go func() { sent <- w.sendAll(out) }()
	var give <-chan time.Time
	limit := time.NewTimer(w.sendLimit())
	defer limit.Stop()
	draining, changed := w.draining, w.h.hub.read(w.after, 0).changed
	for {
		select {
		case err := <-sent:
			w.last = time.Now()
			return err
		case <-draining:
			draining, give = nil, time.After(drainGrace)
		case <-give:
			return errs.Draining(w.token())
		case <-limit.C:
			return w.expired()
		case <-changed:
			v := w.h.hub.read(w.after, 0)
			if changed = v.changed; v.behind && w.joined {
				return w.slow()
			}
		}
	}
}

// sendLimit is how long the client may take: until a little after the stream's
// age, or a minute for each piece of an initial state, which must be allowed to
// grow old because it cannot be resumed.
func (w *watcher) sendLimit() time.Duration {
	if w.resume.Load() == 0 {
		return initialGrace
	}
	return max(0, time.Until(w.age)) + endGrace
}

func (w *watcher) sendAll(out []outgoing) error {
	for _, o := range out {
		if err := w.stream.Send(o.msg); err != nil {
			return err
		}
		if o.revision > 0 && w.resume.Load() > 0 {
			w.resume.Store(o.revision + 1)
		}
	}
	return nil
}
