package balancer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	probeTimeout   = time.Second            // of an instance that is out
	suspectTimeout = 500 * time.Millisecond // of one that has gone silent
)

// probeResult is what a health check over an instance's own connection says.
type probeResult uint8

const (
	probeGood         probeResult = iota // it serves, or answers at all where nobody has taught it health checks
	probeUnhealthy                       // it answers that it does not serve
	probeUnanswered                      // it does not answer in time
	probeDisconnected                    // the connection ended meanwhile, or there is none
	probeResults
)

// String is the value of the label result.
func (r probeResult) String() string {
	return [...]string{"good", "unhealthy", "unanswered", "disconnected"}[r]
}

func (r probeResult) answered() bool { return r == probeGood || r == probeUnhealthy }

// producer gives calls over one connection; gRPC shares it and closes it with the connection.
type producer struct{ cc grpc.ClientConnInterface }

type producerBuilder struct{}

// Build implements balancer.ProducerBuilder.
func (producerBuilder) Build(cc any) (balancer.Producer, func()) {
	conn, _ := cc.(grpc.ClientConnInterface)
	return &producer{cc: conn}, func() {}
}

// check asks the instance how it is, over one of its connections.
func check(ctx context.Context, sc balancer.SubConn, service string, timeout time.Duration) probeResult {
	made, release := sc.GetOrBuildProducer(producerBuilder{})
	defer release()
	p, ok := made.(*producer)
	if !ok || p.cc == nil {
		return probeDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, err := healthpb.NewHealthClient(p.cc).Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	switch status.Code(err) {
	case codes.OK:
		if answer.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			return probeGood
		}
		return probeUnhealthy
	case codes.DeadlineExceeded:
		return probeUnanswered
	case codes.Unavailable, codes.Canceled:
		return probeDisconnected
	default:
		return probeGood
	}
}

// probe checks the instance from a goroutine of its own and hands the result to then. Without a connection it does nothing and returns
// false. The caller holds no lock.
func (p *lb) probe(i *instance, timeout time.Duration, then func(probeResult)) bool {
	sub := p.connectionTo(i)
	if sub == nil {
		return false
	}
	p.mu.Lock()
	service := p.cfg.HealthService
	p.mu.Unlock()
	p.probes.Go(func() {
		r := check(p.ctx, sub.SubConn, service, timeout)
		if p.ctx.Err() != nil {
			return
		}
		p.observer.Load().probes[r].Inc()
		then(r)
		p.poke()
	})
	return true
}

// connectionTo returns a connection to the instance that is up.
func (p *lb) connectionTo(i *instance) *subConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.subs {
		if s.inst == i && s.up.Load() {
			return s
		}
	}
	return nil
}
