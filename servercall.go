package keelson

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/grpcx"
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
	m       *method
	release context.CancelFunc // of the deadline
	stop    context.CancelCauseFunc
	idle    *idleTimer
	answer  *answer // nil: nothing here can end the call before its handler returns
	in      grpcx.Receiver
	body    *intake               // nil: the call did not come by net/http
	refused atomic.Pointer[error] // why a message could not be received, which the client was told
}

// serve is the handler of every method.
func (m *method) serve(srv any, ss grpc.ServerStream) error {
	c := m.begin(ss)
	returned := false
	defer func() {
		if !returned {
			c.exited()
		}
	}()
	var err error
	if m.unary != nil {
		err = c.serveUnary(srv)
	} else {
		err = c.serveStream(srv)
	}
	returned = true
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
	c.body, _ = ctx.Value(intakeKey{}).(*intake)
	c.in = m.receiver(ss)
	c.CorrelationID = correlationID(ctx)
	m.sendBack(ss, c.CorrelationID)
	m.tel.traces.Begin(&c.Call)
	m.metrics.Begin(&c.Call)
	c.release = deadline.Begin(&c.Call)
	if m.policy.Kind != policy.Unary {
		c.beginStream()
	}
	if c.release != nil || c.stop != nil {
		c.answer = startAnswer(c)
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
	defer c.recover(&err)
	if err := c.admit(); err != nil {
		return err
	}
	// The generated handler decodes the request with c.decode.
	reply, err := c.m.unary(srv, &c.Call, c.decode, c.m.server.unary)
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

func (c *serverCall) recover(err *error) {
	if r := recover(); r != nil {
		*err = recovery.Recover(&c.Call, c.m.log, r)
	}
}

// decode receives the one request of a unary call, and validates it.
func (c *serverCall) decode(msg any) error { return c.receive(msg) }

func (c *serverCall) receive(msg any) error {
	if err := c.next(msg); err != nil {
		return err
	}
	c.Received.Add(1)
	c.m.metrics.Received()
	if p, ok := msg.(proto.Message); ok {
		return c.m.validator.Check(p)
	}
	return nil
}

// admit refuses a call that is late, and asks the rate limiter for others.
func (c *serverCall) admit() error {
	if err := deadline.Late(&c.Call); err != nil {
		return err
	}
	err := c.m.limiter.Allow(&c.Call)
	if err != nil {
		c.SetTrailer(ratelimit.Pushback())
	}
	return err
}

func (c *serverCall) serveStream(srv any) (err error) {
	defer c.recover(&err)
	if err := c.admit(); err != nil {
		return err
	}
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

// endedHere tells whether this end, not the client, ended the call: the drain or
// the idle timeout with an error of ours, or the method's own deadline.
func (c *serverCall) endedHere() bool {
	cause := context.Cause(c.Call.Context)
	var ours *errs.Error
	return errors.As(cause, &ours) || c.Capped && errors.Is(cause, context.DeadlineExceeded)
}

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
	if given := c.answer.end(); given != nil {
		err = given // it was sent while the handler ran
	} else if refused := c.refused.Load(); refused != nil {
		err = *refused
	}
	if err != nil {
		st, err = c.status(err)
		c.pushBack(st)
	}
	c.account(st, err)
	return st
}

// exited accounts for a call whose handler ended its goroutine
// (runtime.Goexit): nothing that is returned reaches gRPC any more.
func (c *serverCall) exited() {
	_ = c.answer.end() // an answer that was given stays given
	err := recovery.Exited(&c.Call, c.m.log)
	st, _ := c.status(err)
	grpcx.Answer(c.ServerStream.Context(), status.Convert(st))
	c.account(st, err)
}

func (c *serverCall) account(st, err error) {
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
}

// status maps any error to the one that leaves the process, and returns the error
// to account for: the same, unless looking at it panics (a typed nil, a broken
// classifier), which must not end the process.
func (c *serverCall) status(err error) (sent, cause error) {
	defer func() {
		if r := recover(); r != nil {
			cause = recovery.Recover(&c.Call, c.m.log, r)
			sent = errs.Status(cause, c.m.domain, c.CorrelationID).Err()
		}
	}()
	table := c.m.opts.classifiers
	cause = deadline.Explain(&c.Call, errs.InContext(&c.Call, err, table...))
	_ = cause.Error() // the log and the trace will ask for it
	return errs.Status(cause, c.m.domain, c.CorrelationID, table...).Err(), err
}
