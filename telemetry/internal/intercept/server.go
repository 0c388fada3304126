package intercept

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// UnaryServer returns the interceptor of unary calls at a server.
func UnaryServer(t *policy.Table, k Core) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		ctx, c, own := server(ctx, t, info.FullMethod)
		k.begin(c)
		k.received(c, own)
		panicked := true
		defer func() { k.endServer(c, panicked, err) }()
		if resp, err = handler(ctx, req); err == nil {
			k.sent(c, own)
		}
		panicked = false
		return resp, err
	}
}

// errPanic is how a call ends whose handler panics. What recovers it is none of
// this package's business, but the call is accounted for.
var errPanic = status.Error(codes.Internal, "the handler panicked")

func (k *Core) endServer(c *call.Call, panicked bool, err error) {
	if panicked {
		err = errPanic
	}
	k.end(c, err)
}

// StreamServer returns the interceptor of streams at a server.
func StreamServer(t *policy.Table, k Core) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		ctx, c, own := server(ss.Context(), t, info.FullMethod)
		k.begin(c)
		panicked := true
		defer func() { k.endServer(c, panicked, err) }()
		err = handler(srv, &serverStream{ServerStream: ss, ctx: ctx, call: c, core: &k, own: own})
		panicked = false
		return err
	}
}

type serverStream struct {
	grpc.ServerStream
	ctx  context.Context //nolint:containedctx // a stream carries its context, as gRPC's interface has it
	call *call.Call
	core *Core
	own  bool
}

func (s *serverStream) Context() context.Context { return s.ctx }

func (s *serverStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.core.received(s.call, s.own)
	}
	return err
}

func (s *serverStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	if err == nil {
		s.core.sent(s.call, s.own)
	}
	return err
}
