package keelson

import (
	"cmp"
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
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/google/uuid"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/policy"
)

// clientCall is one call at the client's end.
type clientCall struct {
	call.Call
	to      *outgoing
	method  *clientMethod
	pass    breaker.Pass
	peer    peer.Peer
	release context.CancelFunc
	once    sync.Once
}

func (o *outgoing) newCall(ctx context.Context, fullName string, stream bool) *clientCall {
	m := o.method(fullName, stream)
	r := &clientCall{to: o, method: m}
	r.Call.Context = ctx
	r.Method, r.Side, r.Start, r.Target = m.policy, call.Client, time.Now(), o.target
	r.CorrelationID = cmp.Or(call.OutgoingCorrelationID(ctx), call.CorrelationID(ctx))
	if r.CorrelationID == "" {
		r.CorrelationID = call.NewCorrelationID()
	}
	r.release = deadline.Begin(&r.Call)
	o.client.tel.traces.Begin(&r.Call)
	m.metrics.Begin(&r.Call)
	o.traffic.Begin()
	pairs := append(make([]string, 0, 8), call.CorrelationKey, r.CorrelationID)
	r.Call.Context = call.SetOutgoing(r.Call.Context, o.client.tel.traces.Outgoing(&r.Call, pairs)...)
	return r
}

// WithoutRetry is the option of one call that must not be sent twice, by a retry
// or as a hedge, whatever the policy of its method says. (What never reached a
// server, gRPC still sends anew.)
func WithoutRetry() grpc.CallOption { return grpcx.WithoutRetry() }

// WithoutHedge is the option of one call for which no second instance is to be
// asked while the first has not answered.
func WithoutHedge() grpc.CallOption { return hedge.Without() }

// WithoutBreaker is the option of one call that is to be made even though most
// calls of its method fail, and that does not count among them.
func WithoutBreaker() grpc.CallOption { return breaker.Without() }

// unary is the client's half of a unary call, in one interceptor.
func (o *outgoing) unary(ctx context.Context, fullName string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	r := o.newCall(ctx, fullName, false)
	returned := false
	defer func() { r.unwound(returned) }()
	err := r.admit(opts)
	if err == nil {
		req, repeatable := r.withRequestID(req)
		if !repeatable {
			opts = withOptions(opts, grpcx.WithoutRetry())
		}
		if err = r.invoke(fullName, req, reply, cc, invoke, opts); err != nil {
			err = r.unaryTooLarge(err, req)
		}
		r.pass.End(err)
	}
	if r.Attempts.Load() > 0 {
		r.Sent.Add(1)
		r.method.metrics.Sent()
	}
	if err == nil {
		r.Received.Add(1)
		r.method.metrics.Received()
	}
	returned = true
	return r.finish(err)
}

// unwound accounts for a call that did not return, because an interceptor inside
// of the chassis's panicked or ended its goroutine: whoever recovers knows nothing
// of it. That says nothing about who was called.
func (r *clientCall) unwound(returned bool) {
	if returned {
		return
	}
	err := errs.Canceled(errs.ReasonCallerGone, "the caller left the call by a panic or runtime.Goexit")
	r.pass.End(err)
	_ = r.finish(err) // nobody waits for it
}

// admit asks the breaker whether the call may be made.
func (r *clientCall) admit(opts []grpc.CallOption) error {
	if breaker.Skipped(opts) {
		return nil
	}
	return r.method.breaker.Begin(&r.Call, &r.pass)
}

// invoke sends a unary call, and a second time when it may, there is another
// instance to ask, and the first is slow.
func (r *clientCall) invoke(fullName string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts []grpc.CallOption) error {
	hedged := r.Method.Effective().Hedge && !hedge.Skipped(opts) && !grpcx.RetryIsOff(opts) && !r.to.alone()
	opts = withOptions(opts, grpc.Peer(&r.peer))
	if hedged {
		return r.method.hedge.Invoke(&r.Call, fullName, req, reply, cc, invoke, opts...)
	}
	return invoke(&r.Call, fullName, req, reply, cc, opts...)
}

// withOptions returns the options of a call and more. gRPC hands the same slice,
// the connection's default options, to all calls that come without any, and
// behind its end there may be room that must not be written to.
func withOptions(opts []grpc.CallOption, more ...grpc.CallOption) []grpc.CallOption {
	return append(opts[:len(opts):len(opts)], more...)
}

// withRequestID fills an empty request_id on a copy of the request, so that the
// write may be sent again: the server answers a repetition with the first
// answer (AIP-155). It reports false for a write that must be sent once, because
// nobody can tell whether it has a request_id.
func (r *clientCall) withRequestID(req any) (filled any, repeatable bool) {
	if !r.Method.RequestID || r.Method.Effective().RetryAttempts < 2 {
		return req, true
	}
	m, ok := req.(proto.Message)
	if !ok {
		return req, r.Method.Idempotency != policy.IdempotencyUnknown
	}
	field := m.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind || m.ProtoReflect().Get(field).String() != "" {
		return req, true
	}
	m = proto.Clone(m)
	m.ProtoReflect().Set(field, protoreflect.ValueOfString(uuid.NewString()))
	return m, true
}

// finish accounts for the call, once, and returns the error as callers see it.
func (r *clientCall) finish(err error) error {
	if err != nil {
		err = r.explain(errs.FromWire(err))
	}
	r.once.Do(func() {
		r.Peer = r.peer.Addr
		r.End(errs.Code(err), r.told(err), time.Now())
		tel := &r.to.client.tel
		r.method.metrics.End(&r.Call)
		r.to.traffic.End(r.failed(), r.latency())
		tel.traces.End(&r.Call)
		tel.log.End(&r.Call)
		if r.release != nil {
			r.release()
		}
	})
	return err
}

// failed reports whether the call, which has ended, says something bad about who
// was called. A stream that an instance ends because it drains has ended in good
// order, and its deadline is how long its caller wanted to listen.
func (r *clientCall) failed() bool {
	switch r.Code {
	case codes.Unavailable:
		return errs.Reason(r.Failure) != errs.ReasonDraining
	case codes.DeadlineExceeded:
		return r.Method.Kind == policy.Unary
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return true
	default:
		return false
	}
}

// latency is how long the call took, where that says something; negative: it
// does not.
func (r *clientCall) latency() time.Duration {
	if r.Method.Kind != policy.Unary || r.Code == codes.Canceled {
		return -1
	}
	return r.Duration
}

// errNotReady is the cause with which the opening of a stream ends that no
// instance took in time.
var errNotReady = errors.New("no instance was ready")

// stream is the client's half of a stream, in one interceptor. A stream has no
// deadline, so the time that its opening may wait for a ready instance is
// bounded by the default deadline of calls.
func (o *outgoing) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, fullName string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, stop := context.WithCancelCause(ctx)
	r := o.newCall(ctx, fullName, true)
	if err := r.admit(opts); err != nil {
		stop(nil)
		return nil, r.finish(err)
	}
	// gRPC calls it exactly once, however the stream ends.
	opts = withOptions(opts, grpc.Peer(&r.peer), grpcx.OnFinish(func(err error) {
		_ = r.endStream(ctx, err)
		stop(nil)
	}))
	cs, err := r.open(ctx, stop, func() (grpc.ClientStream, error) { return open(&r.Call, desc, cc, fullName, opts...) })
	if err != nil {
		return nil, err
	}
	r.pass.Opened()
	return &clientStream{ClientStream: cs, call: r, most: grpcx.MostReceived(opts, int(o.client.cfg.Client.MaxReceive))}, nil
}

// open opens a stream, with patience. stop ends ctx, with which the stream ends.
func (r *clientCall) open(ctx context.Context, stop context.CancelCauseFunc, open func() (grpc.ClientStream, error)) (grpc.ClientStream, error) {
	patience := time.AfterFunc(r.to.client.cfg.Policy.Timeout, func() { stop(errNotReady) })
	returned := false
	defer func() {
		if r.unwound(returned); !returned {
			patience.Stop()
			stop(nil)
		}
	}()
	cs, err := open()
	returned = true
	if !patience.Stop() {
		<-ctx.Done() // patience ended, perhaps just as the stream was opened
	}
	if err == nil && !errors.Is(context.Cause(ctx), errNotReady) {
		return cs, nil
	}
	err = r.endStream(ctx, err)
	stop(nil)
	return nil, err
}

// endStream accounts for the end of a stream, once, and returns the error as
// callers see it.
func (r *clientCall) endStream(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case errors.Is(context.Cause(ctx), errNotReady):
		err = errs.Unavailable(errs.ReasonNoReadyInstance, "no instance of %s was ready within %s", r.Target, r.to.client.cfg.Policy.Timeout).With(errs.Cause(err))
	}
	r.pass.End(err)
	return r.finish(err)
}

// clientStream counts the messages of a stream and translates its errors.
type clientStream struct {
	grpc.ClientStream
	call *clientCall
	most int // bytes of a message that is received
}

func (s *clientStream) SendMsg(msg any) error {
	err := s.ClientStream.SendMsg(msg)
	if err == nil {
		s.call.Sent.Add(1)
		s.call.method.metrics.Sent()
		return nil
	}
	// What a server said is heard by receiving.
	return s.translate(s.call.tooLarge(err, func(grpcx.Refused) bool { return false }))
}

func (s *clientStream) RecvMsg(msg any) error {
	err := s.ClientStream.RecvMsg(msg)
	if err == nil {
		s.call.pass.Answered()
		s.call.Received.Add(1)
		s.call.method.metrics.Received()
		return nil
	}
	return s.translate(s.call.tooLarge(err, s.saidByServer))
}

func (s *clientStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, s.translate(err)
}

func (s *clientStream) CloseSend() error { return s.translate(s.ClientStream.CloseSend()) }

// translate returns the error as callers see it; io.EOF is not one.
func (s *clientStream) translate(err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return deadline.Explain(&s.call.Call, errs.FromWire(err))
}
