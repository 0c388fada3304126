package traces

import (
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/internal/intercept"
)

func (t *Tracing) core() intercept.Core {
	return intercept.Core{Begin: t.Begin, End: t.End, Outgoing: t.Outgoing}
}

// UnaryServer returns an interceptor that traces the unary calls that reach it,
// under the methods of a table.
func (t *Tracing) UnaryServer(table *policy.Table) grpc.UnaryServerInterceptor {
	return intercept.UnaryServer(table, t.core())
}

// StreamServer is [Tracing.UnaryServer] for streams.
func (t *Tracing) StreamServer(table *policy.Table) grpc.StreamServerInterceptor {
	return intercept.StreamServer(table, t.core())
}

// UnaryClient returns an interceptor that traces the unary calls made and
// passes their place in the trace on.
func (t *Tracing) UnaryClient(table *policy.Table) grpc.UnaryClientInterceptor {
	return intercept.UnaryClient(table, t.core())
}

// StreamClient is [Tracing.UnaryClient] for streams.
func (t *Tracing) StreamClient(table *policy.Table) grpc.StreamClientInterceptor {
	return intercept.StreamClient(table, t.core())
}
