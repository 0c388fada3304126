package internal

import (
	"context"
	"sync"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
)

// drain ends streams of answers, which may go on for ever, when the gateway's instance
// drains. Streams of requests, such as uploads, come to an end: they have the time that
// the chassis gives to streams. All streams of an instance share one signal, and one
// goroutine waits for it.
type drain struct {
	once   sync.Once
	signal chan (<-chan struct{})
	ctx    context.Context //nolint:containedctx // ends when the streams are to
	begin  context.CancelFunc
}

func newDrain() *drain {
	d := &drain{signal: make(chan (<-chan struct{}), 1)}
	d.ctx, d.begin = context.WithCancel(context.Background())
	return d
}

// run waits for the drain until the context ends.
func (d *drain) run(ctx context.Context) {
	defer d.begin()
	var draining <-chan struct{}
	select {
	case draining = <-d.signal:
	case <-ctx.Done():
		return
	}
	select {
	case <-draining:
	case <-ctx.Done():
	}
}

// onDrain has a stream end with DRAINING when the instance drains. The gateway
// does not read messages, and so knows no token to go on from: clients go on from
// the last one they saw. The returned function undoes it.
func (d *drain) onDrain(stream context.Context, end context.CancelCauseFunc) (undo func() bool) {
	d.once.Do(func() { d.signal <- keelson.Draining(stream) })
	return context.AfterFunc(d.ctx, func() { end(errs.Draining("")) })
}
