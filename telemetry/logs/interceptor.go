package logs

import (
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/internal/intercept"
)

// UnaryServer returns an interceptor that writes the line of each unary call
// that reaches it. Requests that do not decode never do; keelson's own wrapper
// sees them too. Methods that the table does not hold are logged as unknown.
func (l *Log) UnaryServer(t *policy.Table) grpc.UnaryServerInterceptor {
	return intercept.UnaryServer(t, intercept.Core{End: l.End})
}

// StreamServer is [Log.UnaryServer] for streams: one line when one ends.
func (l *Log) StreamServer(t *policy.Table) grpc.StreamServerInterceptor {
	return intercept.StreamServer(t, intercept.Core{End: l.End})
}

// UnaryClient returns an interceptor that writes the line of each call made.
func (l *Log) UnaryClient(t *policy.Table) grpc.UnaryClientInterceptor {
	return intercept.UnaryClient(t, intercept.Core{End: l.End})
}

// StreamClient is [Log.UnaryClient] for streams: one line when one ends.
func (l *Log) StreamClient(t *policy.Table) grpc.StreamClientInterceptor {
	return intercept.StreamClient(t, intercept.Core{End: l.End})
}
