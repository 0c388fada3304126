package rest

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/errs"
)

// idle bounds the pauses of an upload: how long the client may be waited for while
// nothing is written to it either. A nil one bounds nothing.
type idle struct {
	after time.Duration

	mu      sync.Mutex
	waiting bool // for the client
	until   time.Time
	timer   *time.Timer
	over    bool
}

// watch begins to bound the pauses, unless the .proto says how long the streams of the
// method may be idle.
func (u *upload) watch() {
	after := u.x.rt.config.Idle
	if after <= 0 || u.x.route.idles {
		return
	}
	u.idle = &idle{after: after}
	u.idle.timer = time.AfterFunc(after, func() {
		if u.idle.expired() {
			u.breakOff(idleFault(after))
		}
	})
	u.idle.timer.Stop() // until the client is waited for
}

func idleFault(after time.Duration) *fault {
	return &fault{
		http: http.StatusRequestTimeout,
		err: errs.DeadlineExceeded(ReasonRequestTimeout,
			"nothing of the upload came for %s, and no result was written; send without such pauses, or end the body (the operator sets edge.idle_timeout, or the idle_timeout of the method)", after).
			With(errs.Meta("idle_timeout", after.String())),
	}
}

// expired tells whether the client is late, and ends the watch then.
func (i *idle) expired() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	late := i.waiting && !i.over && !time.Now().Before(i.until)
	i.over = i.over || late
	return late
}

// wait notes that the client is waited for, or is not any more.
func (i *idle) wait(waiting bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = waiting
	i.again()
}

// again begins to count anew. The caller holds the lock.
func (i *idle) again() {
	switch {
	case i.over:
	case i.waiting:
		i.until = time.Now().Add(i.after)
		i.timer.Reset(i.after)
	default:
		i.timer.Stop()
	}
}

// touch notes that something was written to the client.
func (i *idle) touch() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.again()
}

// stop ends the watch. It may be called again.
func (i *idle) stop() {
	if i == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
	i.timer.Stop()
}

// during returns a reader whose reads wait for the client.
func (i *idle) during(r io.Reader) io.Reader {
	if i == nil {
		return r
	}
	return &idleReader{r, i}
}

type idleReader struct {
	io.Reader
	idle *idle
}

// Read implements io.Reader.
func (r *idleReader) Read(p []byte) (int, error) {
	r.idle.wait(true)
	defer r.idle.wait(false)
	return r.Reader.Read(p)
}
