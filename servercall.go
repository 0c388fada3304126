package keelson

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/ratelimit"
	"github.com/keelson-dev/keelson/recovery"
)

// errCut is the cause with which the drain ends streams that did not end by
// themselves.
var errCut = errors.New("the instance is draining")

// errIdle is the cause with which a stream ends that carried no message for
// the idle timeout of its method.
var errIdle = errors.New("the stream was idle for too long")

// serverCall is one call in a server: its record, and the stream that carries
// it. It is the only thing that the chassis allocates for every call.
type serverCall struct {
	call.Call
	grpc.ServerStream
	m        *method
	release  context.CancelFunc // of the deadline
	stop     context.CancelCauseFunc
	idle     *idleTimer
	sendFree sync.Mutex // held while a message is being sent, for calls that run apart
	ended    bool       // guarded by sendFree: the answer has been given
	trailer  [1]string
}

// serve is the handler of every method.
func (m *method) serve(srv any, ss grpc.ServerStream) error {
	c := m.begin(ss)
	var err error
	switch {
	case m.unary != nil:
		err = c.serveUnary(srv)
	case m.apart:
		err = c.serveApart(srv)
	default:
		err = c.serveStream(srv)
	}
	return c.finish(err)
}

func (m *method) begin(ss grpc.ServerStream) *serverCall {
	c := &serverCall{ServerStream: ss, m: m}
	ctx := ss.Context()
	c.Call.Context = ctx
	c.Method, c.Side, c.Start, c.Draining = m.policy, call.Server, time.Now(), m.draining
	m.lastCall.Store(c.Start.UnixNano())
	if p, ok := peer.FromContext(ctx); ok {
		c.Peer = p.Addr
	}
	c.CorrelationID = correlationID(ctx)
	c.trailer[0] = c.CorrelationID
	ss.SetTrailer(metadata.MD{call.CorrelationKey: c.trailer[:]})
	m.tel.traces.Begin(&c.Call)
	m.metrics.Begin(&c.Call)
	c.release = deadline.Begin(&c.Call)
	if m.policy.Kind != policy.Unary {
		c.beginStream()
	}
	m.tel.zpages.Begin(&c.Call)
	return c
}

// beginStream lets the drain and an idle timeout end the stream's context.
func (c *serverCall) beginStream() {
	c.m.streams.Add(1)
	ctx, stop := context.WithCancelCause(c.Call.Context)
	c.Call.Context = ctx
	release := context.AfterFunc(c.m.cut, func() { stop(errCut) })
	c.stop = func(cause error) { release(); stop(cause) }
	if idle := c.Method.Effective().IdleTimeout; idle > 0 {
		c.idle = startIdle(idle, func() { stop(errIdle) })
	}
}

// correlationID takes the caller's ID when it is valid and makes one otherwise.
func correlationID(ctx context.Context) string {
	if v := metadata.ValueFromIncomingContext(ctx, call.CorrelationKey); len(v) > 0 && call.ValidCorrelationID(v[0]) {
		return v[0]
	}
	return call.NewCorrelationID()
}

func (c *serverCall) serveUnary(srv any) (err error) {
	if err := c.admit(); err != nil {
		return err
	}
	reply, err := c.invoke(srv)
	if err != nil {
		return err
	}
	if err := c.ServerStream.SendMsg(reply); err != nil {
		return err
	}
	c.Sent.Add(1)
	c.m.metrics.Sent()
	return nil
}

// invoke calls the generated handler, which decodes the request with c.decode.
func (c *serverCall) invoke(srv any) (reply any, err error) {
	defer c.recover(&err)
	return c.m.unary(srv, &c.Call, c.decode, c.m.server.unary)
}

func (c *serverCall) recover(err *error) {
	if r := recover(); r != nil {
		*err = recovery.Recover(&c.Call, c.m.log, r)
	}
}

// decode receives the one request of a unary call, and validates it.
func (c *serverCall) decode(msg any) error { return c.receive(msg) }

func (c *serverCall) receive(msg any) error {
	if err := c.ServerStream.RecvMsg(msg); err != nil {
		return err
	}
	c.Received.Add(1)
	c.m.metrics.Received()
	if p, ok := msg.(proto.Message); ok {
		return c.m.validator.Check(p)
	}
	return nil
}

// admit asks the rate limiter.
func (c *serverCall) admit() error {
	err := c.m.limiter.Allow(&c.Call)
	if err != nil {
		c.SetTrailer(ratelimit.Pushback())
	}
	return err
}

func (c *serverCall) serveStream(srv any) (err error) {
	if err := c.admit(); err != nil {
		return err
	}
	defer c.recover(&err)
	if i := c.m.server.stream; i != nil {
		info := &grpc.StreamServerInfo{
			FullMethod:     c.Method.FullName,
			IsClientStream: c.Method.Kind == policy.ClientStream || c.Method.Kind == policy.BidiStream,
			IsServerStream: c.Method.Kind == policy.ServerStream || c.Method.Kind == policy.BidiStream,
		}
		return i(srv, c, info, c.m.stream)
	}
	return c.m.stream(srv, c)
}

// serveApart runs the handler of a stream of requests beside gRPC's goroutine:
// a handler that waits in Recv cannot see that its context ended, but the
// answer must not wait for it. Its Recv ends as soon as the answer is out.
func (c *serverCall) serveApart(srv any) error {
	done := make(chan error, 1)
	c.m.handlers.Go(func() { done <- c.serveStream(srv) })
	select {
	case err := <-done:
		return err
	case <-c.Call.Context.Done():
	}
	cause := context.Cause(c.Call.Context)
	if !errors.Is(cause, errCut) && !errors.Is(cause, errIdle) && !c.Capped {
		return <-done // the client went away, so Recv returns by itself
	}
	select {
	case err := <-done:
		return err
	case <-time.After(handlerGrace):
	}
	if !c.sendFree.TryLock() {
		return <-done // it is sending: the transport ends that
	}
	c.ended = true
	c.sendFree.Unlock()
	return context.Cause(c.Call.Context)
}

// handlerGrace is how long a handler may take to answer after its context has
// ended, before the answer is given for it.
const handlerGrace = 100 * time.Millisecond

// Context returns the call's record, which is its context.
func (c *serverCall) Context() context.Context { return &c.Call }

// RecvMsg receives, counts and validates one message of a stream.
func (c *serverCall) RecvMsg(msg any) error {
	err := c.receive(msg)
	if err == nil {
		c.idle.touch()
		return nil
	}
	if errors.Is(err, io.EOF) {
		return err
	}
	return c.cause(err)
}

// SendMsg sends and counts one message of a stream.
func (c *serverCall) SendMsg(msg any) error {
	if c.m.apart {
		c.sendFree.Lock()
		defer c.sendFree.Unlock()
		if c.ended {
			return context.Cause(c.Call.Context)
		}
	}
	if err := c.ServerStream.SendMsg(msg); err != nil {
		return c.cause(err)
	}
	c.Sent.Add(1)
	c.m.metrics.Sent()
	c.idle.touch()
	return nil
}

// cause returns why the stream's context ended when that is what an error
// comes from, so that a handler which passes it on answers with the reason.
func (c *serverCall) cause(err error) error {
	if c.Call.Context.Err() == nil {
		return err
	}
	if cause := context.Cause(c.Call.Context); errors.Is(cause, errCut) || errors.Is(cause, errIdle) {
		return cause
	}
	return err
}

// finish accounts for a call and returns what gRPC sends.
func (c *serverCall) finish(err error) error {
	var st error
	if err != nil {
		st = c.status(err)
	}
	c.End(errs.Code(st), err, time.Now())
	c.m.metrics.End(&c.Call)
	c.m.tel.traces.End(&c.Call)
	c.m.tel.log.End(&c.Call)
	c.m.tel.zpages.End(&c.Call)
	if c.idle != nil {
		c.idle.stop()
	}
	if c.stop != nil {
		c.stop(nil)
		c.m.streams.Add(-1)
	}
	if c.release != nil {
		c.release()
	}
	return st
}

// status maps any error to the one that leaves the process.
func (c *serverCall) status(err error) error {
	if c.stop != nil {
		err = c.streamEnd(err)
	}
	err = deadline.Explain(&c.Call, err)
	for _, classify := range c.m.opts.classifiers {
		if e := classify(err); e != nil {
			err = e
			break
		}
	}
	return errs.Status(err, c.m.domain, c.CorrelationID).Err()
}

// streamEnd says why a stream ended whose context the chassis ended.
func (c *serverCall) streamEnd(err error) error {
	ended := errors.Is(err, context.Canceled) || errs.Code(err) == codes.Canceled || errors.Is(err, errCut) || errors.Is(err, errIdle)
	if !ended {
		return err
	}
	switch cause := context.Cause(c.Call.Context); {
	case errors.Is(cause, errCut):
		return errs.Draining("")
	case errors.Is(cause, errIdle):
		idle := c.Method.Effective().IdleTimeout
		return errs.Aborted(errs.ReasonStreamIdle, "no message went either way for %s; send or ask for progress more often", idle).
			With(errs.Meta("idle_timeout", idle.String()))
	}
	return err
}
