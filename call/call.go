// Package call holds one record per call: what is known of one RPC at one end
// of it, from its first byte to its last.
//
// The record is made once, by the wrapper that keelson puts around a method's
// handler or by the client's interceptor, and every concern (logs, metrics,
// traces, deadlines, limits) reads and writes that one record instead of
// keeping its own. It travels in the context; [From] finds it.
package call

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/policy"
)

// Side tells at which end of the RPC a record was made.
type Side uint8

// The two ends.
const (
	Server Side = iota
	Client
)

// String returns server or client.
func (s Side) String() string {
	if s == Client {
		return "client"
	}
	return "server"
}

// Call is the record of one RPC at one end. It is its own context: a handler's
// context is the record, or is derived from it, so finding the record costs no
// allocation.
//
// The exported fields are written by the goroutine that begins and ends the
// call and may be read by the handler in between. The message and attempt
// counters are safe for concurrent use. A record must not be kept after its
// call has ended.
type Call struct {
	context.Context

	// Method is the method with its policy; never nil.
	Method *policy.Method
	// Side is the end at which the record was made.
	Side Side
	// Start is when the call began here.
	Start time.Time
	// CorrelationID follows a request through every service.
	CorrelationID string
	// Peer is the address of the other end; nil when not known.
	Peer net.Addr
	// Target is what a client dialled; empty on a server.
	Target string
	// SpanContext is the call's place in its trace. It is valid for unsampled
	// calls too, so that their IDs are logged and passed on.
	SpanContext trace.SpanContext
	// Span records the call when it is sampled; nil otherwise.
	Span trace.Span
	// Timeout is how long the call may take, as set where it was bounded last
	// on this end, and TimeoutSource says by what: the caller, the method's
	// policy, a proto option. Zero: not bounded.
	Timeout       time.Duration
	TimeoutSource string
	// Capped tells that this end, not the caller, set the deadline.
	Capped bool
	// Draining is closed when the instance begins to end its streams; nil on a
	// client.
	Draining <-chan struct{}
	// Code and Failure are how the call ended; set before it is accounted for.
	Code    codes.Code
	Failure error
	// Duration is how long the call took; set with Code.
	Duration time.Duration

	// Received and Sent count messages.
	Received, Sent atomic.Int64
	// Attempts counts how often the call was sent; a client's only. Whoever picks
	// the instance counts, see [Call.Attempt].
	Attempts atomic.Int32
	tried    tried
}

type key struct{}

// Value returns the record itself for [From], and otherwise asks the context
// that it wraps.
func (c *Call) Value(k any) any {
	if _, ok := k.(key); ok {
		return c
	}
	return c.Context.Value(k)
}

// From returns the innermost record in a context, or nil outside a call. It
// does not allocate.
func From(ctx context.Context) *Call {
	c, _ := ctx.Value(key{}).(*Call)
	return c
}

// End writes how the call ended, at a time.
func (c *Call) End(code codes.Code, err error, now time.Time) {
	c.Code, c.Failure, c.Duration = code, err, now.Sub(c.Start)
}

// DeadlineLeft returns how much of the deadline is left, and whether there is
// one. It is negative when the deadline has passed.
func (c *Call) DeadlineLeft(now time.Time) (time.Duration, bool) {
	d, ok := c.Deadline()
	if !ok {
		return 0, false
	}
	return d.Sub(now), true
}
