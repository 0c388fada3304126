package keelson

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
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
// themselves. It is what they answer.
var errCut = errs.Draining("")

// idleError is the answer of a stream that carried no message for the idle
// timeout of its method.
func idleError(idle time.Duration) error {
	return errs.Aborted(errs.ReasonStreamIdle, "no message went either way for %s; send or ask for progress more often", idle).
		With(errs.Meta("idle_timeout", idle.String()))
}

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
	answered bool       // guarded by sendFree: the answer has been given
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
	m.sendBack(ss, c.CorrelationID)
	m.tel.traces.Begin(&c.Call)
	m.metrics.Begin(&c.Call)
	c.release = deadline.Begin(&c.Call)
	if m.policy.Kind != policy.Unary {
		c.beginStream()
	}
	m.tel.zpages.Begin(&c.Call)
	return c
}

// sendBack puts the correlation ID into the trailer: never into a header, for
// gRPC retries no call that a header was sent for. gRPC copies what it is given,
// so the map is used again.
func (s *server) sendBack(ss grpc.ServerStream, id string) {
	md, ok := s.trailers.Get().(metadata.MD)
	if !ok {
		md = metadata.MD{call.CorrelationKey: make([]string, 1)}
	}
	md[call.CorrelationKey][0] = id
	ss.SetTrailer(md)
	s.trailers.Put(md)
}

// beginStream lets the drain and an idle timeout end the stream's context.
func (c *serverCall) beginStream() {
	c.m.streams.Add(1)
	ctx, stop := context.WithCancelCause(c.Call.Context)
	c.Call.Context = ctx
	release := context.AfterFunc(c.m.cut, func() { stop(errCut) })
	c.stop = func(cause error) { release(); stop(cause) }
	if idle := c.Method.Effective().IdleTimeout; idle > 0 {
		c.idle = startIdle(idle, func() { stop(idleError(idle)) })
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
	if !c.ended() && !c.Capped {
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
	c.answered = true
	c.sendFree.Unlock()
	return context.Cause(c.Call.Context)
}

// ended tells whether the chassis ended the stream: its cause is an error of
// ours, which is also the answer.
func (c *serverCall) ended() bool {
	var ours *errs.Error
	return errors.As(context.Cause(c.Call.Context), &ours)
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
	return errs.InContext(&c.Call, err)
}

// SendMsg sends and counts one message of a stream.
func (c *serverCall) SendMsg(msg any) error {
	if c.m.apart {
		c.sendFree.Lock()
		defer c.sendFree.Unlock()
		if c.answered {
			return context.Cause(c.Call.Context)
		}
	}
	if err := c.ServerStream.SendMsg(msg); err != nil {
		return errs.InContext(&c.Call, err)
	}
	c.Sent.Add(1)
	c.m.metrics.Sent()
	c.idle.touch()
	return nil
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
	table := c.m.opts.classifiers
	err = deadline.Explain(&c.Call, errs.InContext(&c.Call, err, table...))
	return errs.Status(err, c.m.domain, c.CorrelationID, table...).Err()
}
