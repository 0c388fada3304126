package deadline

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// UnaryServer returns an interceptor that bounds each unary call by its method's
// policy, explains the deadlines that it set itself, and does not begin what is late.
func UnaryServer(t *policy.Table) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		c, ctx, release := bound(ctx, call.Server, t, info.FullMethod)
		defer release()
		if err := Late(c); err != nil {
			return nil, err
		}
		resp, err := handler(ctx, req)
		return resp, Explain(c, err)
	}
}

// StreamServer is [UnaryServer] for streams.
func StreamServer(t *policy.Table) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		c, ctx, release := bound(ss.Context(), call.Server, t, info.FullMethod)
		defer release()
		if err := Late(c); err != nil {
			return err
		}
		return Explain(c, handler(srv, &boundStream{ss, ctx}))
	}
}

// UnaryClient returns an interceptor that bounds each unary call made by its
// method's policy, and explains every deadline that passes.
func UnaryClient(t *policy.Table) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		c, ctx, release := bound(ctx, call.Client, t, method)
		defer release()
		return Explain(c, invoke(ctx, method, req, reply, cc, opts...))
	}
}

// StreamClient is [UnaryClient] for streams. The bound lasts until the caller's
// context ends or the deadline passes, as that of any stream.
func StreamClient(t *policy.Table) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		c, ctx, release := bound(ctx, call.Client, t, method)
		cs, err := open(ctx, desc, cc, method, opts...)
		if err != nil {
			release()
			return nil, Explain(c, err)
		}
		context.AfterFunc(cs.Context(), release)
		return &explainedStream{cs, c}, nil
	}
}

// bound begins a call on the record in its context, or on a new one.
func bound(ctx context.Context, side call.Side, t *policy.Table, method string) (*call.Call, context.Context, context.CancelFunc) {
	c := call.From(ctx)
	if c == nil || c.Side != side {
		c = &call.Call{Context: ctx, Method: t.Lookup(method), Side: side, Start: time.Now()}
		ctx = c
	}
	release := Begin(c)
	if release == nil {
		return c, ctx, func() {}
	}
	if ctx == context.Context(c) {
		return c, ctx, release
	}
	// The context was derived from the record before the record was bounded.
	deadline, _ := c.Deadline()
	ctx, cancel := context.WithDeadline(ctx, deadline)
	return c, ctx, func() { cancel(); release() }
}

type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *boundStream) Context() context.Context { return s.ctx }

type explainedStream struct {
	grpc.ClientStream
	call *call.Call
}

func (s *explainedStream) SendMsg(m any) error { return Explain(s.call, s.ClientStream.SendMsg(m)) }
func (s *explainedStream) RecvMsg(m any) error { return Explain(s.call, s.ClientStream.RecvMsg(m)) }
