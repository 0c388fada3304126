package breaker

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// without is the option of a call that has no breaker.
type without struct{ grpc.EmptyCallOption }

// Without returns the option of one call that no breaker may hold back and that
// no breaker counts, whatever its method's policy says. gRPC itself ignores it.
func Without() grpc.CallOption { return without{} }

// Skipped tells whether [Without] is among the options of a call. It does not
// allocate.
func Skipped(opts []grpc.CallOption) bool {
	for _, o := range opts {
		if _, ok := o.(without); ok {
			return true
		}
	}
	return false
}

// UnaryClient returns an interceptor that puts each unary call through the
// breaker of its target and method, by the policy in table. Put it inside the
// interceptor that bounds calls (deadline.UnaryClient), whose record it then
// uses, and outside of what sends a call more than once.
func (s *Set) UnaryClient(table *policy.Table) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if Skipped(opts) {
			return invoke(ctx, method, req, reply, cc, opts...)
		}
		c := record(ctx, table.Lookup(method), cc)
		var p Pass
		if err := s.For(cc.Target(), c.Method).Begin(c, &p); err != nil {
			return err
		}
		err := invoke(ctx, method, req, reply, cc, opts...)
		p.End(err)
		return err
	}
}

// StreamClient is [Set.UnaryClient] for streams.
func (s *Set) StreamClient(table *policy.Table) grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		if Skipped(opts) {
			return open(ctx, desc, cc, method, opts...)
		}
		m := table.Lookup(method)
		if m == table.Unknown() {
			m = table.UnknownStream()
		}
		c := record(ctx, m, cc)
		p := &Pass{}
		if err := s.For(cc.Target(), m).Begin(c, p); err != nil {
			return nil, err
		}
		cs, err := open(ctx, desc, cc, method, opts...)
		if err != nil {
			p.End(err)
			return nil, err
		}
		p.Opened()
		return &stream{cs, p}, nil
	}
}

// record returns the call's record, or makes one of what a breaker reads.
func record(ctx context.Context, m *policy.Method, cc *grpc.ClientConn) *call.Call {
	if c := call.From(ctx); c != nil && c.Side == call.Client && c.Method == m {
		return c
	}
	return &call.Call{Context: ctx, Method: m, Side: call.Client, Start: time.Now(), Target: cc.Target()}
}

// stream tells its pass of the first message, or of the end before it.
type stream struct {
	grpc.ClientStream
	pass *Pass
}

func (s *stream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	switch {
	case err == nil:
		s.pass.Answered()
	case errors.Is(err, io.EOF):
		s.pass.End(nil)
	default:
		s.pass.End(err)
	}
	return err
}
