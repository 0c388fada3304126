package balancertest

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson/target"
)

// Behaviour is how an instance answers calls. The zero value answers at once.
type Behaviour struct {
	// Latency is how long EmptyCall takes, and SlowLatency how long UnaryCall takes.
	Latency, SlowLatency time.Duration
	// FailureRate is the part of the calls, 0 to 1, that fail with Failure (UNAVAILABLE if not set).
	FailureRate float64
	// Failure is the error of calls that fail.
	Failure error
	// Stuck calls do not return before their context ends, while health checks are answered.
	Stuck bool
	// UnaryCallOnly tells that only UnaryCall fails or is stuck, and EmptyCall is not.
	UnaryCallOnly bool
}

// Instance is one server of a [Fleet]. Safe for concurrent use.
type Instance struct {
	testpb.UnimplementedTestServiceServer

	// Target is what the registry says of the instance; [Fleet.Publish] makes a change known.
	Target target.Instance

	behaviour atomic.Pointer[Behaviour]
	calls     atomic.Int64
	checks    atomic.Int64
	health    *health.Server

	mu       sync.Mutex
	listener *bufconn.Listener // nil while the instance is down
	server   *grpc.Server
	gate     gate
}

const bufferSize = 1 << 16

func newInstance(in target.Instance) *Instance {
	i := &Instance{Target: in, health: health.NewServer()}
	i.behaviour.Store(&Behaviour{})
	i.gate.open = make(chan struct{})
	close(i.gate.open)
	return i
}

// Start brings the instance up; it is up from the beginning.
func (i *Instance) Start() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.listener != nil {
		return
	}
	i.listener = bufconn.Listen(bufferSize)
	i.server = grpc.NewServer(grpc.UnaryInterceptor(i.countChecks))
	testpb.RegisterTestServiceServer(i.server, i)
	healthpb.RegisterHealthServer(i.server, i.health)
	l, s := gatedListener{i.listener, &i.gate}, i.server
	go func() { _ = s.Serve(l) }()
}

// Kill ends the instance and its connections at once, as kill -9 does, also while it hangs.
func (i *Instance) Kill() {
	i.Resume()
	i.mu.Lock()
	s := i.server
	i.listener, i.server = nil, nil
	i.mu.Unlock()
	if s != nil {
		s.Stop()
	}
}

// Hang stops the whole instance, as SIGSTOP does: connections stay and nothing is read or written. Resume ends it.
func (i *Instance) Hang() { i.gate.shut() }

// Resume lets a hung instance continue, as SIGCONT does.
func (i *Instance) Resume() { i.gate.release() }

// Behave sets how calls that begin from now on are answered.
func (i *Instance) Behave(b Behaviour) { i.behaviour.Store(&b) }

// SetServing sets what the instance answers to health checks.
func (i *Instance) SetServing(serving bool) {
	s := healthpb.HealthCheckResponse_NOT_SERVING
	if serving {
		s = healthpb.HealthCheckResponse_SERVING
	}
	i.health.SetServingStatus("", s)
}

// Calls returns how many calls and streams reached the instance so far, health checks aside.
func (i *Instance) Calls() int64 { return i.calls.Load() }

// Probes returns how many single health checks were answered so far; the watches of client-side health checking do not count.
func (i *Instance) Probes() int64 { return i.checks.Load() }

func (i *Instance) countChecks(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if info.FullMethod == healthpb.Health_Check_FullMethodName {
		i.checks.Add(1)
	}
	return next(ctx, req)
}

// EmptyCall takes Latency.
func (i *Instance) EmptyCall(ctx context.Context, _ *testpb.Empty) (*testpb.Empty, error) {
	b := *i.behaviour.Load()
	if b.UnaryCallOnly {
		b.FailureRate, b.Stuck = 0, false
	}
	return &testpb.Empty{}, i.answer(ctx, b, b.Latency)
}

// UnaryCall takes SlowLatency.
func (i *Instance) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	b := *i.behaviour.Load()
	return &testpb.SimpleResponse{}, i.answer(ctx, b, b.SlowLatency)
}

// FullDuplexCall stays open until the client closes it.
func (i *Instance) FullDuplexCall(stream grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	i.calls.Add(1)
	for {
		if _, err := stream.Recv(); err != nil {
			return nil
		}
	}
}

func (i *Instance) answer(ctx context.Context, b Behaviour, latency time.Duration) error {
	i.calls.Add(1)
	if b.Stuck {
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	if latency > 0 {
		timer := time.NewTimer(latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	switch {
	case b.FailureRate <= 0 || rand.Float64() >= b.FailureRate:
		return nil
	case b.Failure != nil:
		return b.Failure
	default:
		return status.Error(codes.Unavailable, "the instance was told to fail")
	}
}

func (i *Instance) dial(ctx context.Context) (net.Conn, error) {
	i.mu.Lock()
	l := i.listener
	i.mu.Unlock()
	if l == nil {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: net.ErrClosed}
	}
	return l.DialContext(ctx)
}

// gate is what connections of a hung instance wait at.
type gate struct {
	mu   sync.Mutex
	open chan struct{}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
		g.open = make(chan struct{})
	default:
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

func (g *gate) wait(gone <-chan struct{}) {
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
	case <-gone:
	}
}

type gatedListener struct {
	net.Listener
	gate *gate
}

func (l gatedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatedConn{Conn: c, gate: l.gate, gone: make(chan struct{})}, nil
}

// gatedConn is the instance's end of a connection.
type gatedConn struct {
	net.Conn
	gate *gate
	once sync.Once
	gone chan struct{}
}

func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.gate.wait(c.gone)
	return n, err
}

func (c *gatedConn) Write(b []byte) (int, error) {
	c.gate.wait(c.gone)
	return c.Conn.Write(b)
}

func (c *gatedConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}
