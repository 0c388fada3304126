package intercept

import (
	"context"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// UnaryServer returns the interceptor of unary calls at a server.
func UnaryServer(t *policy.Table, k Core) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, c, own := server(ctx, t, info.FullMethod)
		k.begin(c)
		k.received(c, own)
		resp, err := handler(ctx, req)
		if err == nil {
			k.sent(c, own)
		}
		k.end(c, err)
		return resp, err
	}
}

// StreamServer returns the interceptor of streams at a server.
func StreamServer(t *policy.Table, k Core) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, c, own := server(ss.Context(), t, info.FullMethod)
		k.begin(c)
		err := handler(srv, &serverStream{ServerStream: ss, ctx: ctx, call: c, core: &k, own: own})
		k.end(c, err)
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
