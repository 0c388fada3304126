// Package load drives the platform: an open-loop generator of calls at a fixed
// arrival rate, consumers of change streams that resume, and imports. What it
// sees it writes into a history; it judges nothing.
package load

import (
	"context"
	"sync"

	"google.golang.org/grpc/stats"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// attempts collects to which instances a call is sent, by retries and hedges
// too.
type attempts struct {
	clock history.Clock
	mu    sync.Mutex
	list  []history.Attempt
}

type attemptsKey struct{}

func (a *attempts) sent() []history.Attempt {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list[:len(a.list):len(a.list)]
}

// Observer is a stats handler that notes each sending of a call in the context's
// record. One serves all connections.
type Observer struct{}

var _ stats.Handler = Observer{}

// TagRPC implements [stats.Handler].
func (Observer) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC notes the instance when the headers leave.
func (Observer) HandleRPC(ctx context.Context, s stats.RPCStats) {
	out, ok := s.(*stats.OutHeader)
	if !ok || out.RemoteAddr == nil {
		return
	}
	if a, ok := ctx.Value(attemptsKey{}).(*attempts); ok {
		now := a.clock.Now()
		a.mu.Lock()
		a.list = append(a.list, history.Attempt{At: now, Address: out.RemoteAddr.String()})
		a.mu.Unlock()
	}
}

// TagConn implements [stats.Handler].
func (Observer) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (Observer) HandleConn(context.Context, stats.ConnStats) {}
