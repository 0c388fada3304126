package keelson

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/internal/grpcx"
)

// handlerGrace is how long a handler may take to answer after its context has
// ended, before the answer is given for it.
const handlerGrace = 100 * time.Millisecond

// answer gives the answer of a call whose time this end has ended (by the drain,
// the method's deadline or its idle timeout) and whose handler does not notice: it
// waits for the client's next message, for the client to read, or for something
// that ignores the context. The client has its answer then, and what the handler
// sends or receives ends with an error. A nil answer does nothing.
type answer struct {
	call *serverCall
	stop func() bool // of the watch on the context

	mu    sync.Mutex
	over  bool // the handler has returned
	timer *time.Timer
	given error
}

func startAnswer(c *serverCall) *answer {
	a := &answer{call: c}
	a.mu.Lock() // until stop is set
	defer a.mu.Unlock()
	a.stop = context.AfterFunc(c.Call.Context, a.expired)
	return a
}

// expired is called when the context has ended.
func (a *answer) expired() {
	if !a.call.endedHere() {
		return // the client went away, and gRPC ends everything by itself
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.over {
		a.timer = time.AfterFunc(handlerGrace, a.give)
	}
}

func (a *answer) give() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	c := a.call
	cause := context.Cause(c.Call.Context)
	st, _ := c.status(cause)
	if grpcx.Answer(c.ServerStream.Context(), status.Convert(st)) {
		a.given = cause
	}
}

// end says that the handler has returned, and returns what was answered for it.
func (a *answer) end() error {
	if a == nil {
		return nil
	}
	a.stop()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
	return a.given
}
