package ratelimit

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// UnaryServer returns an interceptor that asks the limiter before each unary
// call, by the policy in table; methods that the table does not hold are not
// limited. Inside another chassis interceptor it uses the record of the call
// that is there.
func (l *Limiter) UnaryServer(table *policy.Table) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if err := l.Allow(record(ctx, table, info.FullMethod)); err != nil {
			_ = grpc.SetTrailer(ctx, Pushback()) // outside a call there is no one to tell
			return nil, err
		}
		return handler(ctx, req)
	}
}

// StreamServer returns the same for streams: each counts once, when it begins.
func (l *Limiter) StreamServer(table *policy.Table) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if err := l.Allow(record(ss.Context(), table, info.FullMethod)); err != nil {
			ss.SetTrailer(Pushback())
			return err
		}
		return handler(srv, ss)
	}
}

// record returns the call's record, or makes one of what the limiter reads.
func record(ctx context.Context, table *policy.Table, method string) *call.Call {
	if c := call.From(ctx); c != nil && c.Side == call.Server && c.Method.FullName == method {
		return c
	}
	c := &call.Call{Context: ctx, Method: table.Lookup(method), Start: time.Now()}
	if p, ok := peer.FromContext(ctx); ok {
		c.Peer = p.Addr
	}
	return c
}
