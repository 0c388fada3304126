package keelson

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/google/uuid"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/metrics"
)

// clientMethod is everything about one method that is called.
type clientMethod struct {
	policy  *policy.Method
	metrics *metrics.Method
}

// clientMethods resolves methods by name; each is resolved once.
type clientMethods struct {
	core   *core
	byName *sync.Map // full name, or the policy of unknown ones -> *clientMethod
}

func newClientMethods(c *core) clientMethods { return clientMethods{core: c, byName: &sync.Map{}} }

func (ms clientMethods) get(fullName string, stream bool) *clientMethod {
	if m, ok := ms.byName.Load(fullName); ok {
		return m.(*clientMethod)
	}
	p := ms.core.table.Lookup(fullName)
	if stream && p == ms.core.table.Unknown() {
		p = ms.core.table.UnknownStream()
	}
	// Names that no table holds share one entry, so that they are bounded.
	key := any(fullName)
	if p.FullName == policy.UnknownName {
		key = p
	}
	m, _ := ms.byName.LoadOrStore(key, &clientMethod{policy: p, metrics: ms.core.tel.called.For(p)})
	return m.(*clientMethod)
}

// clientCall is one call at the client's end.
type clientCall struct {
	call.Call
	client  *Client
	method  *clientMethod
	peer    peer.Peer
	release context.CancelFunc
	once    sync.Once
}

func (c *Client) newCall(ctx context.Context, fullName string, stream bool, cc *grpc.ClientConn) *clientCall {
	m := c.methods.get(fullName, stream)
	r := &clientCall{client: c, method: m}
	r.Call.Context = ctx
	r.Method, r.Side, r.Start, r.Target = m.policy, call.Client, time.Now(), cc.Target()
	r.CorrelationID = cmp.Or(call.OutgoingCorrelationID(ctx), call.CorrelationID(ctx))
	if r.CorrelationID == "" {
		r.CorrelationID = call.NewCorrelationID()
	}
	r.release = deadline.Begin(&r.Call)
	c.tel.traces.Begin(&r.Call)
	m.metrics.Begin(&r.Call)
	pairs := append(make([]string, 0, 8), call.CorrelationKey, r.CorrelationID)
	r.Call.Context = call.SetOutgoing(r.Call.Context, c.tel.traces.Outgoing(&r.Call, pairs)...)
	return r
}

// WithoutRetry is the option of one call that must not be sent twice, whatever the
// policy of its method says. (What never reached a server, gRPC still sends anew.)
func WithoutRetry() grpc.CallOption { return grpcx.WithoutRetry() }

// unary is the client's half of a unary call, in one interceptor.
func (c *Client) unary(ctx context.Context, fullName string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	r := c.newCall(ctx, fullName, false, cc)
	err := invoke(&r.Call, fullName, r.withRequestID(req), reply, cc, append(opts, grpc.Peer(&r.peer))...)
	if r.Attempts.Load() > 0 {
		r.Sent.Add(1)
		r.method.metrics.Sent()
	}
	if err == nil {
		r.Received.Add(1)
		r.method.metrics.Received()
	}
	return r.finish(err)
}

// withRequestID fills an empty request_id on a copy of the request, so that the
// write may be sent again: the server answers a repetition with the first
// answer (AIP-155).
func (r *clientCall) withRequestID(req any) any {
	if !r.Method.RequestID || r.Method.Effective().RetryAttempts < 2 {
		return req
	}
	m, ok := req.(proto.Message)
	if !ok {
		return req
	}
	field := m.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind || m.ProtoReflect().Get(field).String() != "" {
		return req
	}
	m = proto.Clone(m)
	m.ProtoReflect().Set(field, protoreflect.ValueOfString(uuid.NewString()))
	return m
}

// finish accounts for the call, once, and returns the error as callers see it.
func (r *clientCall) finish(err error) error {
	if err != nil {
		err = deadline.Explain(&r.Call, errs.FromWire(err))
	}
	r.once.Do(func() {
		r.Peer = r.peer.Addr
		r.End(errs.Code(err), err, time.Now())
		r.method.metrics.End(&r.Call)
		r.client.tel.traces.End(&r.Call)
		r.client.tel.log.End(&r.Call)
		if r.release != nil {
			r.release()
		}
	})
	return err
}

// errNotReady is the cause with which the opening of a stream ends that no
// instance took in time.
var errNotReady = errors.New("no instance was ready")

// stream is the client's half of a stream, in one interceptor. A stream has no
// deadline, so the time that its opening may wait for a ready instance is
// bounded by the default deadline of calls.
func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, fullName string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, stop := context.WithCancelCause(ctx)
	r := c.newCall(ctx, fullName, true, cc)
	// gRPC calls it exactly once, however the stream ends.
	opts = append(opts, grpc.Peer(&r.peer), grpcx.OnFinish(func(err error) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		_ = r.finish(err)
		stop(nil)
	}))
	patience := time.AfterFunc(c.cfg.Policy.Timeout, func() { stop(errNotReady) })
	cs, err := open(&r.Call, desc, cc, fullName, opts...)
	if !patience.Stop() {
		<-ctx.Done() // patience ended, perhaps just as the stream was opened
	}
	notReady := errors.Is(context.Cause(ctx), errNotReady)
	if err != nil || notReady {
		if notReady {
			err = errs.Unavailable(errs.ReasonNoReadyInstance, "no instance of %s was ready within %s", r.Target, c.cfg.Policy.Timeout).With(errs.Cause(err))
		}
		err = r.finish(err)
		stop(nil)
		return nil, err
	}
	return &clientStream{ClientStream: cs, call: r}, nil
}

// clientStream counts the messages of a stream and translates its errors.
type clientStream struct {
	grpc.ClientStream
	call *clientCall
}

func (s *clientStream) SendMsg(msg any) error {
	err := s.ClientStream.SendMsg(msg)
	if err == nil {
		s.call.Sent.Add(1)
		s.call.method.metrics.Sent()
		return nil
	}
	return s.translate(err)
}

func (s *clientStream) RecvMsg(msg any) error {
	err := s.ClientStream.RecvMsg(msg)
	if err == nil {
		s.call.Received.Add(1)
		s.call.method.metrics.Received()
		return nil
	}
	return s.translate(err)
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
