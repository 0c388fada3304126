package rest

import (
	"context"
	"time"

	"github.com/keelson-dev/keelson/errs"
)

// lead is how long the reader of a body has to tell why a request has ended.
const lead = 50 * time.Millisecond

// patience is how long a service has to come to the end of an upload that breaks off,
// until the call is cancelled.
const patience = time.Second

// end is what becomes of the call when the body was read, or could not be.
func (u *upload) end(f *fault) {
	u.idle.stop()
	if f == nil {
		u.s.CloseSend()
		return
	}
	u.breakOff(f)
	u.drop(u.x.r.Body) // see linger
}

// follow ends the call when the request ends, and returns what ends the watch and
// waits for it.
func (u *upload) follow(request context.Context) func() {
	over := make(chan struct{})
	stop := context.AfterFunc(request, func() {
		defer close(over)
		u.gone()
	})
	return func() {
		if !stop() {
			<-over
		}
	}
}

// gone ends the call of a client that went away. net/http ends the request, too, when
// its body does not come in time: of that the reader tells the service, at once.
func (u *upload) gone() {
	told := time.NewTimer(lead)
	defer told.Stop()
	select {
	case <-u.sent:
	case <-told.C:
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fault == nil || errs.Reason(u.fault.err) != ReasonRequestTimeout {
		u.cancel()
	}
}

// breakOff ends the call for what is wrong with the body, unless that was done. It is
// not half-closed: the server must not take what came for all. It hears that its
// client sent something wrong, and not that it went away, after it has received what
// was right.
func (u *upload) breakOff(f *fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.fault != nil {
		return
	}
	u.fault = f
	if f == errEnded {
		u.s.Cancel()
		return
	}
	e := errs.From(f.err)
	why := "the upload was refused: " + e.Reason()
	if line := e.Metadata()["line"]; line != "" {
		why += " at line " + line
	}
	u.s.Break(why)
	select {
	case <-u.s.Done():
	default:
		u.late = time.AfterFunc(patience, u.s.Cancel)
	}
}
