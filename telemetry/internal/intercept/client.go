package intercept

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// UnaryClient returns the interceptor of unary calls at a client.
func UnaryClient(t *policy.Table, k Core) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoker grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		ctx, c, own := client(ctx, t, method, cc.Target())
		k.begin(c)
		var p peer.Peer
		if own {
			opts = append(opts, grpc.Peer(&p))
		}
		err := invoker(k.outgoing(ctx, c, own), method, req, reply, cc, opts...)
		if own {
			c.Peer = p.Addr
			c.Attempts.CompareAndSwap(0, 1)
		}
		k.sent(c, own)
		if err == nil {
			k.received(c, own)
		}
		k.end(c, err)
		return err
	}
}

// StreamClient returns the interceptor of streams at a client. The call ends
// when the stream says so, when the one response of a stream of requests has
// come, or when the caller's context ends.
func StreamClient(t *policy.Table, k Core) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		caller := ctx
		ctx, c, own := client(ctx, t, method, cc.Target())
		k.begin(c)
		cs, err := streamer(k.outgoing(ctx, c, own), desc, cc, method, opts...)
		if own {
			c.Attempts.CompareAndSwap(0, 1)
		}
		if err != nil {
			k.end(c, err)
			return nil, err
		}
		s := &clientStream{ClientStream: cs, call: c, core: &k, own: own, single: !desc.ServerStreams}
		stop := context.AfterFunc(caller, func() { s.finish(context.Cause(caller), caller.Err()) })
		s.setStop(stop)
		return s, nil
	}
}

type clientStream struct {
	grpc.ClientStream
	call   *call.Call
	core   *Core
	own    bool
	single bool // one response

	mu    sync.Mutex
	ended bool
	stop  func() bool
}

// setStop keeps what releases the watch over the caller's context.
func (s *clientStream) setStop(stop func() bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = stop
	if s.ended {
		stop()
	}
}

func (s *clientStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	switch {
	case err == nil:
		s.core.sent(s.call, s.own)
	case !errors.Is(err, io.EOF): // io.EOF: RecvMsg has the status
		s.finish(err, err)
	}
	return err
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.core.received(s.call, s.own)
	}
	if err != nil || s.single {
		s.finish(err, err)
	}
	return err
}

// finish ends the call once. A context's own error decides its code, and its
// cause is what is told when it is a status or a context's error as well.
func (s *clientStream) finish(cause, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	if s.stop != nil {
		s.stop()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if cause != nil && err != nil && Code(cause) == Code(err) {
		err = cause
	}
	s.core.end(s.call, err)
}
