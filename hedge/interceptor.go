package hedge

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// without is the option of a call that is not hedged.
type without struct{ grpc.EmptyCallOption }

// Without returns the option of one call that must not be sent a second time
// while the first attempt is under way, whatever its method's policy says. gRPC
// itself ignores it.
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

// UnaryClient returns an interceptor that hedges the unary calls of methods whose
// policy in table says so. Put it inside of what accounts for calls and bounds
// them; what is further in runs once for each attempt.
func (h *Hedger) UnaryClient(table *policy.Table) grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		m := table.Lookup(method)
		if !m.Effective().Hedge {
			return invoke(ctx, method, req, reply, cc, opts...)
		}
		if c := call.From(ctx); c == nil || c.Side != call.Client || c.Method != m {
			ctx = &call.Call{Context: ctx, Method: m, Side: call.Client, Start: time.Now(), Target: cc.Target()}
		}
		return h.For(cc.Target(), m).Invoke(ctx, method, req, reply, cc, invoke, opts...)
	}
}
