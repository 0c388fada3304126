package hedge

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// Invoke makes a unary call by way of invoke, and a second time when the first
// attempt takes too long; invoke must be safe to be called twice at once, and
// return soon when its context ends. The context carries the call's record and
// its deadline. The error is that of the attempt whose answer counts.
//
// It runs the first attempt in the caller's goroutine and has waited for the
// second one when it returns.
func (m *Method) Invoke(ctx context.Context, fullName string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	kind, ok := kindOf(reply)
	if !ok || !m.hedges() || Skipped(opts) {
		return invoke(ctx, fullName, req, reply, cc, opts...)
	}
	now := time.Now()
	m.budget.call(now)
	deadline, bounded := ctx.Deadline()
	delay, inTime := m.delay(deadline.Sub(now), bounded)
	if !inTime {
		err := invoke(ctx, fullName, req, reply, cc, opts...)
		m.learn(err, now)
		return err
	}
	opts, finish := withoutOnFinish(opts)
	first, cancel := context.WithCancel(ctx)
	f, _ := m.hedger.flights.Get().(*flight)
	f.task = task{ctx: ctx, method: m, start: now, fullName: fullName, req: req, reply: reply, kind: kind, cc: cc, invoke: invoke, opts: opts, cancel: cancel}
	err := f.fly(first, delay)
	for _, call := range finish {
		call(err)
	}
	return err
}

// fly makes the first attempt, with the timer set for the second one.
func (f *flight) fly(ctx context.Context, delay time.Duration) (err error) {
	ended := false
	defer func() {
		if !ended { // a panic, or runtime.Goexit
			f.abandon()
		}
	}()
	f.timer.Reset(delay)
	err = f.invoke(ctx, f.fullName, f.req, f.reply, f.cc, f.opts...)
	ended = true
	if f.timer.Stop() {
		f.method.learn(err, f.start)
	} else {
		err = f.settle(err)
	}
	f.cancel()
	f.recycle()
	return err
}

// learn notes how long an attempt took that began at a time, if its answer is
// one.
func (m *Method) learn(err error, start time.Time) {
	if m.final(err) {
		m.answered(time.Since(start))
	}
}

// task is the call that a flight is made for.
type task struct {
	ctx      context.Context //nolint:containedctx // lives as long as the call
	method   *Method
	start    time.Time
	fullName string
	req      any
	reply    any
	kind     kind // of the reply, which the first attempt may be writing
	cc       *grpc.ClientConn
	invoke   grpc.UnaryInvoker
	opts     []grpc.CallOption
	cancel   context.CancelFunc // of the first attempt

	over   bool // the first attempt has ended
	fired  bool // the timer has for the last time, and there is no hedge unless it is set
	waited bool // the timer has before, and the budget had nothing to spare
	hedge  *attempt
}

// flight is a call that may be hedged. It is used again for other calls, with its
// timer.
type flight struct {
	timer *time.Timer
	mu    sync.Mutex // guards over, fired and hedge
	task
}

// errGone is how an attempt ended whose goroutine ended in it (runtime.Goexit, as
// a test's Fatal does).
var errGone = errs.Internal(errs.ReasonPanic, "the second attempt ended without an answer")

// attempt is the hedge of a call.
type attempt struct {
	cancel context.CancelFunc
	reply  any
	own    outputs
	before int32         // how often the call had been sent
	done   chan struct{} // closed when the attempt has ended, and what follows is set
	err    error
	took   time.Duration
	unsent bool // no instance was fit to take it
}

func newFlight() *flight {
	f := &flight{}
	f.timer = time.AfterFunc(time.Hour, f.fire)
	f.timer.Stop()
	return f
}

// recycle makes the flight ready for another call, unless its timer's goroutine
// may still come for this one.
func (f *flight) recycle() {
	f.mu.Lock()
	free := f.fired || f.hedge == nil && !f.over
	if f.waited && f.hedge == nil {
		f.method.metrics.deny()
	}
	f.mu.Unlock()
	if free {
		h := f.method.hedger
		f.task = task{}
		h.flights.Put(f)
	}
}

// fire sends the hedge. It runs in the timer's goroutine.
func (f *flight) fire() {
	a, ctx := f.begin()
	if a == nil {
		return
	}
	defer close(a.done)
	start := time.Now()
	a.err = f.send(ctx, a)
	a.took = time.Since(start)
	if a.unsent = a.err != nil && f.attempts() == a.before && f.method.hedger.counted; a.unsent {
		f.method.budget.giveBack()
	}
	if f.method.final(a.err) {
		f.cancel()
	}
}

// begin decides whether to hedge.
func (f *flight) begin() (*attempt, context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return nil, nil
	}
	f.fired = true
	now := time.Now()
	if deadline, ok := f.ctx.Deadline(); ok && deadline.Sub(now) <= f.method.latency.usual() || f.ctx.Err() != nil {
		return nil, nil
	}
	if !f.sent() {
		f.again(MinDelay)
		return nil, nil
	}
	if !f.method.budget.take(now, f.waited) {
		f.waited = true
		f.again(now.Sub(f.start)) // when the call has waited for twice as long
		return nil, nil
	}
	ctx, cancel := context.WithCancel(call.WithHedge(f.ctx))
	f.hedge = &attempt{before: f.attempts(), cancel: cancel, reply: f.kind.fresh(), done: make(chan struct{}), err: errGone}
	return f.hedge, ctx
}

// sent tells whether the first attempt is under way, as far as is known.
func (f *flight) sent() bool {
	return !f.method.hedger.counted || f.attempts() != 0
}

// attempts is how often the call was sent, where somebody counts; -1 where it has
// no record.
func (f *flight) attempts() int32 {
	if c := call.From(f.ctx); c != nil {
		return c.Attempts.Load()
	}
	return -1
}

// again asks for the hedge once more, later. The caller holds the mutex.
func (f *flight) again(after time.Duration) {
	f.fired = false
	f.timer.Reset(max(after, MinDelay))
}

// send makes the second attempt. A panic in it is its failure and nothing more:
// the first attempt, in the caller's goroutine, shows whether it is one of all
// calls.
func (f *flight) send(ctx context.Context, a *attempt) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errs.Internal(errs.ReasonPanic, "the second attempt at %s panicked: %v", f.fullName, r)
		}
	}()
	return f.invoke(ctx, f.fullName, f.req, a.reply, f.cc, a.own.instead(f.opts)...)
}

// settle decides whose answer counts, when the first attempt has ended with err
// and the timer has fired.
func (f *flight) settle(err error) error {
	f.mu.Lock()
	f.over = true
	a := f.hedge
	if a == nil && !f.fired { // it was to be asked for again
		f.fired = f.timer.Stop()
	}
	f.mu.Unlock()
	m := f.method
	if a == nil {
		m.learn(err, f.start)
		return err
	}
	took, lost := time.Since(f.start), false
	switch {
	case m.final(err):
		lost = a.stop()
	case f.ctx.Err() != nil:
		a.cancel()
	}
	<-a.done
	a.cancel()
	switch {
	case rank(a.err) < rank(err):
		m.metrics.end(hedgeWon)
		m.answered(a.took)
		a.adopt(f)
		return a.err
	case a.unsent:
	case rank(a.err) == failed && !lost:
		m.metrics.end(hedgeFailed)
	default:
		m.metrics.end(hedgeLost)
	}
	if m.final(err) {
		m.answered(took)
	}
	return err
}

// stop cancels the attempt, and tells whether it was under way until then.
func (a *attempt) stop() bool {
	select {
	case <-a.done:
		return false
	default:
		a.cancel()
		return true
	}
}

// adopt makes the hedge's answer the call's.
func (a *attempt) adopt(f *flight) {
	if a.err == nil {
		f.kind.adopt(f.reply, a.reply)
	}
	a.own.adopt()
}

// abandon ends both attempts when the first one will not return.
func (f *flight) abandon() {
	f.timer.Stop()
	f.mu.Lock()
	f.over = true
	a := f.hedge
	f.mu.Unlock()
	f.cancel()
	if a != nil {
		a.cancel()
		<-a.done
	}
}

// final tells whether an answer counts at once.
func (m *Method) final(err error) bool {
	switch rank(err) {
	case well:
		return true
	case fault:
		return m.policy.Idempotency == policy.NoSideEffects
	default:
		return false
	}
}
