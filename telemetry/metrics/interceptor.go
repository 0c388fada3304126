package metrics

import (
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/internal/intercept"
)

func (m *Metrics) core() intercept.Core {
	return intercept.Core{
		Begin:    m.Begin,
		End:      m.End,
		Received: func(c *call.Call) { m.For(c.Method).Received() },
		Sent:     func(c *call.Call) { m.For(c.Method).Sent() },
	}
}

// UnaryServer returns an interceptor that counts the unary calls that reach it,
// under the methods of a table.
func (m *Metrics) UnaryServer(t *policy.Table) grpc.UnaryServerInterceptor {
	return intercept.UnaryServer(t, m.core())
}

// StreamServer is [Metrics.UnaryServer] for streams.
func (m *Metrics) StreamServer(t *policy.Table) grpc.StreamServerInterceptor {
	return intercept.StreamServer(t, m.core())
}

// UnaryClient returns an interceptor that counts the unary calls made.
func (m *Metrics) UnaryClient(t *policy.Table) grpc.UnaryClientInterceptor {
	return intercept.UnaryClient(t, m.core())
}

// StreamClient is [Metrics.UnaryClient] for streams.
func (m *Metrics) StreamClient(t *policy.Table) grpc.StreamClientInterceptor {
	return intercept.StreamClient(t, m.core())
}
