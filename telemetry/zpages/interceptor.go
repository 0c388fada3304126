package zpages

import (
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/internal/intercept"
)

func (p *Pages) core() intercept.Core { return intercept.Core{Begin: p.Begin, End: p.End} }

// UnaryServer returns an interceptor that shows the unary calls that reach it.
func (p *Pages) UnaryServer(t *policy.Table) grpc.UnaryServerInterceptor {
	return intercept.UnaryServer(t, p.core())
}

// StreamServer is [Pages.UnaryServer] for streams.
func (p *Pages) StreamServer(t *policy.Table) grpc.StreamServerInterceptor {
	return intercept.StreamServer(t, p.core())
}

// UnaryClient returns an interceptor that shows the unary calls made.
func (p *Pages) UnaryClient(t *policy.Table) grpc.UnaryClientInterceptor {
	return intercept.UnaryClient(t, p.core())
}

// StreamClient is [Pages.UnaryClient] for streams.
func (p *Pages) StreamClient(t *policy.Table) grpc.StreamClientInterceptor {
	return intercept.StreamClient(t, p.core())
}
