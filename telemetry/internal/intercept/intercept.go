// Package intercept turns what a concern does at the begin and the end of a
// call into gRPC's four interceptors, so that logs, metrics and traces treat
// unary calls and streams, servers and clients alike.
//
// An interceptor uses the call's record when an outer one (or keelson's own
// wrapper) has made it, and makes it otherwise.
package intercept

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// Core is what a concern does with a call. Nil functions are skipped.
type Core struct {
	// Begin is called before the handler or the invoker.
	Begin func(*call.Call)
	// End is called once, after the outcome has been written into the record.
	End func(*call.Call)
	// Received and Sent are called after each message that went through.
	Received, Sent func(*call.Call)
	// Outgoing appends the pairs of metadata that a client's call carries.
	Outgoing func(c *call.Call, pairs []string) []string
}

func (k *Core) begin(c *call.Call) {
	if k.Begin != nil {
		k.Begin(c)
	}
}

func (k *Core) end(c *call.Call, err error) {
	c.End(Code(err), err, time.Now())
	if k.End != nil {
		k.End(c)
	}
}

func (k *Core) received(c *call.Call, own bool) {
	if own {
		c.Received.Add(1)
	}
	if k.Received != nil {
		k.Received(c)
	}
}

func (k *Core) sent(c *call.Call, own bool) {
	if own {
		c.Sent.Add(1)
	}
	if k.Sent != nil {
		k.Sent(c)
	}
}

func (k *Core) outgoing(ctx context.Context, c *call.Call, own bool) context.Context {
	var pairs []string
	if own {
		pairs = append(pairs, call.CorrelationKey, c.CorrelationID)
	}
	if k.Outgoing != nil {
		pairs = k.Outgoing(c, pairs)
	}
	return call.SetOutgoing(ctx, pairs...)
}

// Code returns the code that gRPC sends for an error: that of its status, that
// of a context's error, UNKNOWN for all others, OK for nil.
func Code(err error) codes.Code {
	if err == nil || errors.Is(err, io.EOF) {
		return codes.OK
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return status.FromContextError(err).Code()
}

// server returns the record of a call at its server, and the context that holds
// it. own tells that this interceptor made it.
func server(ctx context.Context, t *policy.Table, fullMethod string) (next context.Context, c *call.Call, own bool) {
	if c = call.From(ctx); c != nil && c.Side == call.Server {
		return ctx, c, false
	}
	c = &call.Call{Context: ctx, Method: t.Lookup(fullMethod), Side: call.Server, Start: time.Now(), CorrelationID: incomingID(ctx)}
	if p, ok := peer.FromContext(ctx); ok {
		c.Peer = p.Addr
	}
	return c, c, true
}

// client returns the record of a call at its client, and the context that
// holds it. A client's record is the innermost one; a server's is the caller's.
func client(ctx context.Context, t *policy.Table, fullMethod, target string) (next context.Context, c *call.Call, own bool) {
	outer := call.From(ctx)
	m := t.Lookup(fullMethod)
	if outer != nil && outer.Side == call.Client && outer.Method == m && outer.Duration == 0 {
		return ctx, outer, false
	}
	c = &call.Call{Context: ctx, Method: m, Side: call.Client, Start: time.Now(), Target: target}
	if c.CorrelationID = call.OutgoingCorrelationID(ctx); c.CorrelationID == "" && outer != nil {
		c.CorrelationID = outer.CorrelationID
	}
	if c.CorrelationID == "" {
		c.CorrelationID = call.NewCorrelationID()
	}
	return c, c, true
}

func incomingID(ctx context.Context) string {
	if v := metadata.ValueFromIncomingContext(ctx, call.CorrelationKey); len(v) == 1 && call.ValidCorrelationID(v[0]) {
		return v[0]
	}
	return call.NewCorrelationID()
}
