// Package keelsontest runs a service and a client in one test process, over a
// connection in memory and with the same chain of concerns as in production:
//
//	conn := keelsontest.Serve(t, func(s *keelson.Service) {
//		userv1.RegisterUserServiceServer(s, handler)
//	})
//	users := userv1.NewUserServiceClient(conn)
//
// [Faults] make methods slow, failing, hanging or dropped; [Main] checks that
// no goroutine outlives the tests of a package. It is for tests only.
package keelsontest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/keelson-dev/keelson"
)

// bufferSize is what a connection holds in each direction, in bytes.
const bufferSize = 256 << 10

// Option changes what [Serve] starts.
type Option interface{ apply(*setup) }

type setup struct {
	config  keelson.Config
	service []keelson.Option
	client  []keelson.Option
	faults  *Faults
	log     io.Writer
}

type optionFunc func(*setup)

func (f optionFunc) apply(s *setup) { f(s) }

// WithConfig serves and calls under a configuration. Listeners, drain and log
// of the zero fields are those of a test.
func WithConfig(cfg keelson.Config) Option { return optionFunc(func(s *setup) { s.config = cfg }) }

// WithServiceOptions adds options of the service.
func WithServiceOptions(o ...keelson.Option) Option {
	return optionFunc(func(s *setup) { s.service = append(s.service, o...) })
}

// WithClientOptions adds options of the client.
func WithClientOptions(o ...keelson.Option) Option {
	return optionFunc(func(s *setup) { s.client = append(s.client, o...) })
}

// WithFaults lets a test disturb the service's methods.
func WithFaults(f *Faults) Option { return optionFunc(func(s *setup) { s.faults = f }) }

// WithLog writes the service's and the client's log lines, as JSON, one write at a
// time; all are written when the test's cleanup is over. By default they are
// discarded.
func WithLog(w io.Writer) Option { return optionFunc(func(s *setup) { s.log = w }) }

// Serve runs a service until the test ends and returns a connection to it. The
// test fails when the service does, and waits at its end until the service has
// drained.
func Serve(t testing.TB, register func(*keelson.Service), opts ...Option) *grpc.ClientConn {
	t.Helper()
	conn, _ := Start(t, register, opts...)
	return conn
}

// Start is [Serve] for tests that drain the service themselves: drain asks it
// to stop and returns what Run returned. The test's end calls it too.
func Start(t testing.TB, register func(*keelson.Service), opts ...Option) (conn *grpc.ClientConn, drain func() error) {
	t.Helper()
	s := setup{log: io.Discard}
	for _, o := range opts {
		o.apply(&s)
	}
	s.complete()
	s.log = &oneAtATime{w: s.log} // the service's and the client's lines come from two goroutines
	pipe := &pipe{Listener: bufconn.Listen(bufferSize)}
	service := s.newService(t, pipe)
	register(service)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	drain = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	client, err := keelson.NewClient("keelsontest", s.config, append(s.client, keelson.WithLogOutput(s.log))...)
	if err != nil {
		t.Fatalf("make the client: %v", err)
	}
	conn, err = client.Dial("passthrough:///in-memory", grpc.WithContextDialer(pipe.dial))
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
		if err := drain(); err != nil {
			t.Errorf("the service ended with: %v", err)
		}
	})
	return conn, drain
}

// complete fills what a test wants different from production.
func (s *setup) complete() {
	c := &s.config
	set := func(to *string, v string) {
		if *to == "" {
			*to = v
		}
	}
	set(&c.Ops.Address, "off")
	set(&c.Debug.Address, "off")
	set(&c.Log.Format, "json")
	set(&c.Environment, "test")
	bound := func(to *time.Duration, v time.Duration) {
		if *to == 0 {
			*to = v
		}
	}
	bound(&c.Drain.Propagation, time.Millisecond)
	bound(&c.Drain.Quiet, time.Millisecond)
	bound(&c.Drain.Streams, time.Second)
}

func (s *setup) newService(t testing.TB, pipe *pipe) *keelson.Service {
	t.Helper()
	options := []keelson.Option{keelson.WithListener(pipe), keelson.WithLogOutput(s.log)}
	if s.faults != nil {
		s.faults.attach(pipe)
		options = append(options, keelson.WithUnaryInterceptors(s.faults.unary), keelson.WithStreamInterceptors(s.faults.stream))
	}
	service, err := keelson.New("test", s.config, append(options, s.service...)...)
	if err != nil {
		t.Fatalf("make the service: %v", err)
	}
	return service
}

// oneAtATime lets several goroutines write to one writer.
type oneAtATime struct {
	mu sync.Mutex
	w  io.Writer
}

// Write waits for its turn.
func (o *oneAtATime) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.w.Write(p)
}

// Main runs the tests of a package and fails when a goroutine outlives them:
//
//	func TestMain(m *testing.M) { keelsontest.Main(m) }
func Main(m *testing.M) { goleak.VerifyTestMain(m) }

// pipe is a listener in memory that can break its connections.
type pipe struct {
	*bufconn.Listener

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func (p *pipe) dial(ctx context.Context, _ string) (net.Conn, error) {
	c, err := p.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		p.conns = map[net.Conn]struct{}{}
	}
	p.conns[c] = struct{}{}
	return c, nil
}

// breakConns closes every connection at once, as a crash would.
func (p *pipe) breakConns() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		_ = c.Close() // it may be closed already
	}
	clear(p.conns)
}
