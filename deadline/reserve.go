package deadline

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/errs"
)

// How much of a deadline is kept back for the answer.
const (
	reserveShare = 10 // a tenth of what is left,
	minReserve   = 5 * time.Millisecond
	maxReserve   = 250 * time.Millisecond
)

// Reserve returns a context that ends a little before the deadline of ctx (a
// tenth of what is left, 5 ms to 250 ms), with slow as its context.Cause. Who
// waits for a database with it still has the time to say that the database is
// slow; with ctx itself the caller would hear DEADLINE_EXCEEDED, which says
// nothing. Without a deadline, or with less than twice the reserve left, ctx is
// returned as it is. Call the function when the work is done.
func Reserve(ctx context.Context, slow error) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	left := time.Until(end)
	kept := min(max(left/reserveShare, minReserve), maxReserve)
	if left < 2*kept {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, end.Add(-kept), slow)
}

// UnaryReserve is an interceptor that runs the handlers of a service with
// [Reserve]: what takes too long is answered with slow, an UNAVAILABLE with a
// RetryInfo as a rule, while the caller still listens. It is for services whose
// handlers wait for one thing, such as their store.
func UnaryReserve(slow *errs.Error) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, done := Reserve(ctx, slow)
		defer done()
		resp, err := handler(ctx, req)
		return resp, errs.InContext(ctx, err)
	}
}
