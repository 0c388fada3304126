package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// checkTime bounds [CheckHealth] where the context does not.
const checkTime = 5 * time.Second

// CheckHealth proves that client-side health checks really run in this binary: a connection with the policy, to a server in memory that
// says it does not serve, must not become ready before the server says that it does. gRPC goes without health checks, silently, where the
// package google.golang.org/grpc/health is not linked, a dial option forbids them, or a policy does not listen; then a rolling restart
// loses calls. It takes a few milliseconds, opens no port, and leaves nothing behind. A client calls it once, before it first dials.
func CheckHealth(ctx context.Context) error { return checkHealth(ctx) }

func checkHealth(ctx context.Context, opts ...grpc.DialOption) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	serving := &patient{changed: make(chan struct{})}
	listener := newPipe()
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, serving)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // ends with Stop
	}()
	defer func() {
		server.Stop()
		<-served
	}()
	entry, err := Config{}.JSON()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///health-check", append(opts,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(listener.dial),
		grpc.WithDefaultServiceConfig(fmt.Sprintf(`{"loadBalancingConfig":[%s],"healthCheckConfig":{"serviceName":""}}`, entry)))...)
	if err != nil {
		return fmt.Errorf("check client-side health checks: %w", err)
	}
	defer func() { _ = conn.Close() }()
	return serving.check(ctx, conn)
}

// check watches the connection while the server's health changes.
func (s *patient) check(ctx context.Context, conn *grpc.ClientConn) error {
	conn.Connect()
	for want := connectivity.TransientFailure; ; {
		switch state := conn.GetState(); {
		case state == connectivity.Ready && want != connectivity.Ready:
			return errUnchecked
		case state == want && want == connectivity.Ready:
			return nil
		case state == want:
			want = connectivity.Ready
			s.serve()
		case !conn.WaitForStateChange(ctx, state):
			return fmt.Errorf("check client-side health checks: the connection stayed %s: %w", state, ctx.Err())
		}
	}
}

var errUnchecked = errors.New("client-side health checks do not run: a server that says NOT_SERVING would get calls; " +
	`link them with: import _ "google.golang.org/grpc/health"`)

// patient is a health service that does not serve until it is told to.
type patient struct {
	healthpb.UnimplementedHealthServer
	once    sync.Once
	changed chan struct{}
}

func (s *patient) serve() { s.once.Do(func() { close(s.changed) }) }

// Watch implements grpc.health.v1.
func (s *patient) Watch(_ *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if err := stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_NOT_SERVING}); err != nil {
		return err
	}
	select {
	case <-s.changed:
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	}
	if err := stream.Send(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return status.Error(codes.Canceled, "the check has ended")
}

// pipe is a listener in memory.
type pipe struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipe) dial(ctx context.Context, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
	case <-ctx.Done():
	}
	return nil, errors.Join(client.Close(), server.Close(), net.ErrClosed)
}

// Accept implements net.Listener.
func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr implements net.Listener.
func (p *pipe) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
