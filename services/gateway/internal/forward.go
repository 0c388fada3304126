package internal

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// forwarder passes the calls of one target on. It is safe for concurrent use.
type forwarder struct {
	target   string
	patience time.Duration // how long a call waits for a ready instance
	sizes    sizes
	drain    *drain
	present  atomic.Pointer[link]
	pumps    sync.WaitGroup // goroutines that read from clients
}

// use returns the present link, which the caller releases.
func (f *forwarder) use() *link {
	for {
		if l := f.present.Load(); l.acquire() {
			return l
		}
	}
}

// replace makes another link the present one. Calls in flight keep theirs.
func (f *forwarder) replace(l *link) {
	if old := f.present.Swap(l); old != nil {
		old.release()
	}
}

// serve is the handler of all methods on the target: it passes on messages as
// bytes, with the gateway's own client in between.
func (f *forwarder) serve(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	kind, known := kindOf(ss.Context())
	l := f.use()
	defer l.release()
	if known && kind == policy.Unary {
		return f.unary(ss, l, method)
	}
	r := &relay{forwarder: f, ss: ss, link: l, method: method}
	if known {
		r.oneRequest = kind == policy.ServerStream
	}
	return r.run()
}

// kindOf says whether requests and answers of a call's method are streams; false
// where it is not known yet.
func kindOf(ctx context.Context) (policy.Kind, bool) {
	c := call.From(ctx)
	if c == nil || c.Method.FullName == policy.UnknownName {
		return policy.BidiStream, false
	}
	return c.Method.Kind, true
}

// receiveOne receives the one request of a method. It waits for the end of the
// requests, as a server of the method would, and so hears of a second one.
// The second frame is there to be used again.
func receiveOne(ss grpc.ServerStream, req, more *keelson.Frame) error {
	if err := ss.RecvMsg(req); errors.Is(err, io.EOF) {
		return cardinality("none")
	} else if err != nil {
		return err
	}
	switch err := ss.RecvMsg(more); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	more.Free()
	return cardinality("several")
}

// exchange is what a unary call needs.
type exchange struct {
	req, reply      keelson.Frame
	header, trailer metadata.MD
	peer            peer.Peer
}

// unary passes on a call with one message each way: the chassis's client sends it
// again, or to a second instance, when its policy says so.
func (f *forwarder) unary(ss grpc.ServerStream, l *link, method string) error {
	x := &exchange{}
	defer x.req.Free()
	if err := receiveOne(ss, &x.req, &x.reply); err != nil {
		return err
	}
	ctx := ss.Context()
	if err := l.ready(ctx, f.patience); err != nil {
		return err
	}
	out := outgoing(ctx)
	err := x.invoke(out, l, method)
	if x.lacked(ctx, l, err) {
		if err := l.ready(ctx, f.patience); err != nil {
			return err
		}
		err = x.invoke(out, l, method, keelson.WithoutRetry())
	}
	defer x.reply.Free()
	if through := trailers(x.trailer, saysWhen(err)); through != nil {
		ss.SetTrailer(through)
	}
	if through := forwarded(x.header); through != nil {
		if err := ss.SetHeader(through); err != nil {
			return err
		}
	}
	if err != nil {
		a := answer{err: err, header: x.header, trailer: x.trailer, peer: &x.peer}
		return a.failure(ctx, f.target)
	}
	if err := f.sizes.checkAnswer(f.target, &x.reply); err != nil {
		return err
	}
	return ss.SendMsg(&x.reply)
}

// invoke makes the call. The link was ready just now: gRPC is not to wait for an
// instance as long as the call may take, also before it sends a call again.
func (x *exchange) invoke(ctx context.Context, l *link, method string, more ...grpc.CallOption) error {
	opts := append(more, grpc.WaitForReady(false), grpc.Header(&x.header), grpc.Trailer(&x.trailer), grpc.Peer(&x.peer))
	return l.Invoke(ctx, method, &x.req, &x.reply, opts...)
}

// lacked tells whether a call that may be sent ended for want of an instance: the last
// one went between the look and the call, or had it, and it may be sent again.
func (x *exchange) lacked(ctx context.Context, l *link, err error) bool {
	if errs.Code(err) != codes.Unavailable || len(x.header) > 0 || len(x.trailer) > 0 || !errs.From(err).Remote() {
		return false
	}
	return x.peer.Addr == nil || l.GetState() != connectivity.Ready && repeatable(ctx)
}

// repeatable tells whether a call may be sent again when nobody knows what became of
// it.
func repeatable(ctx context.Context) bool {
	c := call.From(ctx)
	return c != nil && c.Method.Idempotency != policy.IdempotencyUnknown && c.Method.Effective().RetryAttempts > 1
}
