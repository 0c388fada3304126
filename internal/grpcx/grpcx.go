// Package grpcx is the only place that touches what grpc-go marks as
// experimental. A grpc-go upgrade is reviewed here, and nowhere else.
package grpcx

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/status"
)

// HandshakeTimeout bounds the time from accepting a connection to the end of
// its TLS and HTTP/2 handshakes (grpc-go's default is 120 s).
func HandshakeTimeout(d time.Duration) grpc.ServerOption { return grpc.ConnectionTimeout(d) }

// StreamWorkers serves calls from n long-lived goroutines, whose stacks have
// already grown; calls beyond n get goroutines of their own.
func StreamWorkers(n uint32) grpc.ServerOption { return grpc.NumStreamWorkers(n) }

// WaitForHandlers makes Stop return only after every handler has.
func WaitForHandlers() grpc.ServerOption { return grpc.WaitForHandlers(true) }

// IdleTimeout closes a client's connections when no call was made for so long.
func IdleTimeout(d time.Duration) grpc.DialOption { return grpc.WithIdleTimeout(d) }

// Connecting bounds one connection attempt, and the backoff between attempts.
func Connecting(attempt, maxBackoff time.Duration) grpc.DialOption {
	wait := backoff.DefaultConfig
	wait.MaxDelay = maxBackoff
	return grpc.WithConnectParams(grpc.ConnectParams{Backoff: wait, MinConnectTimeout: attempt})
}

// Answer ends a call in a server at once, while its handler still runs: the
// transport sends the status, and the handler's sends and receives end with an
// error. What the handler returns later is not sent. It must not be called after
// the handler has returned, and reports whether the transport could. The context
// is the one that gRPC gave to the handler.
func Answer(ctx context.Context, st *status.Status) bool {
	s, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ WriteStatus(*status.Status) error })
	return ok && s.WriteStatus(st) == nil
}

type withoutRetry struct{ grpc.CallOption }

// WithoutRetry keeps gRPC from sending a call a second time: it may not remember
// the request.
func WithoutRetry() grpc.CallOption { return withoutRetry{grpc.MaxRetryRPCBufferSize(0)} }

// RetryIsOff tells whether WithoutRetry is among the options of a call.
func RetryIsOff(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(withoutRetry); ok {
			return true
		}
	}
	return false
}

// OnFinish is called once when a call or stream ends, however it ends.
func OnFinish(f func(err error)) grpc.CallOption { return grpc.OnFinish(f) }

// NoProxy dials instances directly, whatever HTTPS_PROXY says: calls between
// services do not belong on a web proxy, and going by way of one loses what the
// resolver says of an instance.
func NoProxy() grpc.DialOption { return grpc.WithNoProxy() }
