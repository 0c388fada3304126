package internal_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

func TestMain(m *testing.M) { keelsontest.Main(m) }

// handler answers all methods of a fake backend.
type handler func(method string, ss grpc.ServerStream) error

// fake is a backend whose services are in no Go type: a bare gRPC server.
type fake struct {
	handle   atomic.Pointer[handler]
	listener atomic.Pointer[bufconn.Listener]
	server   *grpc.Server
	calls    atomic.Int64
	unserved atomic.Int64 // questions of health and reflection that it does not serve
}

// newFake serves until the test ends.
func newFake(t testing.TB, h handler, register ...func(*grpc.Server)) *fake {
	t.Helper()
	f := &fake{}
	f.answer(h)
	f.start(t, register...)
	return f
}

// answer replaces what answers.
func (f *fake) answer(h handler) { f.handle.Store(&h) }

// start serves, again after stop.
func (f *fake) start(t testing.TB, register ...func(*grpc.Server)) {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	f.server = grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(ss)
		if strings.HasPrefix(method, "/grpc.") {
			f.unserved.Add(1)
			return status.Error(codes.Unimplemented, "it serves neither health nor reflection")
		}
		f.calls.Add(1)
		return (*f.handle.Load())(method, ss)
	}))
	healthpb.RegisterHealthServer(f.server, health.NewServer())
	for _, r := range register {
		r(f.server)
	}
	f.listener.Store(l)
	done := make(chan struct{})
	server := f.server
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
}

func (f *fake) dial(ctx context.Context, _ string) (net.Conn, error) {
	return f.listener.Load().DialContext(ctx)
}

// connect makes a bare connection to the backend.
func (f *fake) connect(t testing.TB) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///backend", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(f.dial))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// gateway is a gateway in this process, and a bare client of it.
type gateway struct {
	*grpc.ClientConn
	service *keelson.Service
	drain   func() error
}

// setup is what a test changes of a gateway.
type setup struct {
	config internal.Config
	keep   func(*keelson.Service)
	log    io.Writer
	dial   []grpc.DialOption // of backends, after the fake's own
	tcp    bool              // the gateway listens where a registry can name it
}

const (
	echoService = "test.v1.Echo"
	unaryMethod = "/test.v1.Echo/Unary"
	readMethod  = "/test.v1.Echo/Read"
	watchMethod = "/test.v1.Echo/Watch"
	sendMethod  = "/test.v1.Echo/Send"
	bidiMethod  = "/test.v1.Echo/Bidi"
)

// newGateway forwards test.v1.Echo to a backend, until the test ends.
func newGateway(t testing.TB, f *fake, change ...func(*setup)) *gateway {
	t.Helper()
	s := &setup{log: io.Discard}
	c := &s.config
	c.Services = []internal.ServiceConfig{{Service: echoService, Target: "passthrough:///backend"}}
	c.Ops.Address, c.Debug.Address, c.Edge.Address, c.Log.Format, c.Environment = "off", "off", "off", "json", "test"
	c.Reflection.StartTimeout = time.Millisecond // most fakes describe nothing
	c.Drain.Propagation, c.Drain.Quiet, c.Drain.Streams = time.Millisecond, time.Millisecond, time.Second
	for _, f := range change {
		f(s)
	}
	gw, err := internal.New(s.config, internal.WithDialOptions(append([]grpc.DialOption{grpc.WithContextDialer(f.dial)}, s.dial...)...))
	if err != nil {
		t.Fatal(err)
	}
	l, dial := listen(t, s.tcp)
	service, err := keelson.New("gateway", s.config.Config, append(gw.Options(), keelson.WithListener(l), keelson.WithLogOutput(s.log))...)
	if err != nil {
		t.Fatal(err)
	}
	if err := gw.Register(service); err != nil {
		t.Fatal(err)
	}
	if s.keep != nil {
		s.keep(service)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- service.Run(ctx) }()
	g := &gateway{service: service, drain: sync.OnceValue(func() error { cancel(); return <-ended })}
	g.ClientConn, err = grpc.NewClient("passthrough:///gateway", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dial))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.Close()
		if err := g.drain(); err != nil {
			t.Errorf("the gateway ended with: %v", err)
		}
	})
	return g
}

// listen listens in memory or on this machine, and tells how that is dialled.
func listen(t testing.TB, tcp bool) (net.Listener, func(context.Context, string) (net.Conn, error)) {
	t.Helper()
	if !tcp {
		l := bufconn.Listen(1 << 20)
		return l, func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	return l, func(ctx context.Context, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", l.Addr().String())
	}
}

// describedBy gives the gateway a file of descriptors.
func describedBy(path string) func(*setup) {
	return func(s *setup) { s.config.Descriptors = []string{path} }
}

// knows waits until the gateway knows the methods of a service.
func (g *gateway) knows(t testing.TB, service, method string) {
	t.Helper()
	keelsontest.Eventually(t, "the gateway to know "+service+"/"+method, func() bool {
		for _, s := range g.service.Contract().Services {
			for i := range s.Methods().Len() {
				if string(s.FullName()) == service && (method == "" || string(s.Methods().Get(i).Name()) == method) {
					return true
				}
			}
		}
		return false
	})
}

// soon bounds what a test waits for.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// call makes a unary call with a text.
func (g *gateway) call(ctx context.Context, method, text string, opts ...grpc.CallOption) (string, error) {
	var reply wrapperspb.StringValue
	err := g.Invoke(ctx, method, wrapperspb.String(text), &reply, opts...)
	return reply.GetValue(), err
}

// stream opens a stream of any kind.
func (g *gateway) stream(t testing.TB, ctx context.Context, method string, opts ...grpc.CallOption) *texts {
	t.Helper()
	cs, err := g.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return &texts{cs}
}

// texts is a stream of texts, at either end.
type texts struct{ grpc.ClientStream }

func (s *texts) send(t testing.TB, text string) {
	t.Helper()
	if err := s.SendMsg(wrapperspb.String(text)); err != nil {
		t.Fatalf("send: %v", err)
	}
}

func (s *texts) want(t testing.TB, text string) {
	t.Helper()
	var m wrapperspb.StringValue
	if err := s.RecvMsg(&m); err != nil || m.GetValue() != text {
		t.Fatalf("received %q, %v; want %q", m.GetValue(), err, text)
	}
}

func (s *texts) end() error {
	var m wrapperspb.StringValue
	err := s.RecvMsg(&m)
	if err == nil {
		return errors.New("there is a message: " + m.GetValue())
	}
	return err
}

func receive(ss grpc.ServerStream) (string, error) {
	var m wrapperspb.StringValue
	err := ss.RecvMsg(&m)
	return m.GetValue(), err
}

func send(ss grpc.ServerStream, text string) error { return ss.SendMsg(wrapperspb.String(text)) }

// echo answers each message with one, in capitals.
func echo(_ string, ss grpc.ServerStream) error {
	for {
		text, err := receive(ss)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(ss, strings.ToUpper(text)); err != nil {
			return err
		}
	}
}

// wantError checks code and reason of an error.
func wantError(t testing.TB, err error, code codes.Code, reason string) *errs.Error {
	t.Helper()
	e := errs.From(err)
	if err == nil || e.Code() != code || e.Reason() != reason {
		t.Fatalf("error is %v; want %v %s", err, code, reason)
	}
	return e
}

func errCode(err error) codes.Code { return errs.Code(err) }
