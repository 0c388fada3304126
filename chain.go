package keelson

import (
	"context"

	"google.golang.org/grpc"
)

// chainUnary makes one interceptor of several, the first outermost; nil for
// none, so that a service without any pays for none.
func chainUnary(chain []grpc.UnaryServerInterceptor) grpc.UnaryServerInterceptor {
	if len(chain) == 0 {
		return nil
	}
	first, rest := chain[0], chainUnary(chain[1:])
	if rest == nil {
		return first
	}
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		return first(ctx, req, info, func(ctx context.Context, req any) (any, error) {
			return rest(ctx, req, info, handler)
		})
	}
}

// chainStream is chainUnary for streams.
func chainStream(chain []grpc.StreamServerInterceptor) grpc.StreamServerInterceptor {
	if len(chain) == 0 {
		return nil
	}
	first, rest := chain[0], chainStream(chain[1:])
	if rest == nil {
		return first
	}
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return first(srv, ss, info, func(srv any, ss grpc.ServerStream) error {
			return rest(srv, ss, info, handler)
		})
	}
}
