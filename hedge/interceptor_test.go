package hedge_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/policy"
)

const unaryCall = "/grpc.testing.TestService/UnaryCall"

// instance answers with its name, and fails when it is told to.
type instance struct {
	testpb.UnimplementedTestServiceServer
	name    string
	fails   error // guarded by mu, as frozen is
	seen    atomic.Int64
	address string
	conn    *grpc.ClientConn
	frozen  chan struct{} // not nil: what it says does not arrive until it is closed
	mu      sync.Mutex
}

func (i *instance) UnaryCall(ctx context.Context, req *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	i.seen.Add(1)
	_ = grpc.SetHeader(ctx, metadata.Pairs("instance", i.name))
	_ = grpc.SetTrailer(ctx, metadata.Pairs("instance-trailer", i.name))
	return &testpb.SimpleResponse{Username: i.name, Payload: req.GetPayload()}, i.failure()
}

func (i *instance) failure() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fails
}

func (i *instance) fail(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fails = err
}

// freeze stops what the instance says on the wire, as SIGSTOP does; the returned
// function is SIGCONT.
func (i *instance) freeze() (thaw func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.frozen = make(chan struct{})
	return sync.OnceFunc(func() { close(i.frozen) })
}

type frozenConn struct {
	net.Conn
	instance *instance
}

func (c *frozenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.instance.mu.Lock()
	frozen := c.instance.frozen
	c.instance.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return n, err
}

func start(t *testing.T, name string) *instance {
	t.Helper()
	i := &instance{name: name}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i.address = l.Addr().String()
	s := grpc.NewServer()
	testpb.RegisterTestServiceServer(s, i)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	i.conn, err = grpc.NewClient("passthrough:///"+i.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return &frozenConn{c, i}, err
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.conn.Close() })
	return i
}

// balanced returns a client whose attempts go to the instances in turn: calls
// begin at each of them in turn, the first one at the first, and a second attempt
// is at the next one.
func balanced(t *testing.T, h *hedge.Hedger, instances ...*instance) testpb.TestServiceClient {
	t.Helper()
	table := policy.NewTable(policy.Linked()...)
	table.Lookup(unaryCall).Idempotency = policy.NoSideEffects
	if err := table.Apply(policy.Defaults{}, []policy.Override{{Method: unaryCall, HedgeDelay: 5 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	var calls sync.Map
	var count atomic.Int64
	pick := func(ctx context.Context, method string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		c := call.From(ctx)
		at, known := calls.Load(c)
		if !known {
			at, _ = calls.LoadOrStore(c, count.Add(1))
		}
		n := at.(int64) + int64(c.Attempts.Add(1)) - 2 //nolint:forcetypeassert // nothing else is stored
		return instances[n%int64(len(instances))].conn.Invoke(ctx, method, req, reply, opts...)
	}
	front, err := grpc.NewClient("passthrough:///front", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithChainUnaryInterceptor(h.UnaryClient(table), pick))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = front.Close() })
	return testpb.NewTestServiceClient(front)
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// An instance is stopped (SIGSTOP) while calls are under way at it: none is lost.
func TestNoCallIsLostAtAnInstanceThatIsStopped(t *testing.T) {
	a, b := start(t, "a"), start(t, "b")
	c := balanced(t, hedge.New(nil), a, b)
	ctx := within(t)
	for range 4 {
		if _, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	thaw := a.freeze()
	defer thaw()
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			body := &testpb.Payload{Body: []byte("what was asked")}
			reply, err := c.UnaryCall(ctx, &testpb.SimpleRequest{Payload: body})
			if err != nil || reply.GetUsername() != "b" || string(reply.GetPayload().GetBody()) != "what was asked" {
				t.Errorf("answered %v, %v", reply, err)
			}
		})
	}
	calls.Wait()
	thaw()
	for range 4 {
		if _, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatTheOptionsPointAtIsTheWinners(t *testing.T) {
	for name, fails := range map[string]error{"answers": nil, "says that it is not there": status.Error(codes.NotFound, "x")} {
		t.Run(name, func(t *testing.T) {
			a, b := start(t, "a"), start(t, "b")
			c := balanced(t, hedge.New(nil), a, b)
			for range 2 { // both are connected
				if _, err := c.UnaryCall(within(t), &testpb.SimpleRequest{}); err != nil {
					t.Fatal(err)
				}
			}
			a.fail(fails)
			b.fail(fails)
			thaw := a.freeze()
			defer thaw()
			var header, header2, trailer metadata.MD
			var from peer.Peer
			var ended []error
			_, err := c.UnaryCall(within(t), &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from), grpc.Header(&header2),
				grpc.WaitForReady(true), grpc.OnFinish(func(err error) { ended = append(ended, err) }))
			if status.Code(err) != status.Code(fails) {
				t.Fatal(err)
			}
			if got := append(append(header.Get("instance"), trailer.Get("instance-trailer")...), header2.Get("instance")...); len(got) != 3 || got[0] != "b" || got[1] != "b" || got[2] != "b" {
				t.Errorf("metadata of %v", got)
			}
			if from.Addr == nil || from.Addr.String() != b.address {
				t.Errorf("the peer is %v, not %s", from.Addr, b.address)
			}
			if len(ended) != 1 || status.Code(ended[0]) != status.Code(fails) {
				t.Errorf("OnFinish heard %v", ended)
			}
		})
	}
}

func TestTheFirstAttemptFillsInWhatItsOptionsPointAt(t *testing.T) {
	a := start(t, "a")
	c := balanced(t, hedge.New(nil), a)
	var header, trailer metadata.MD
	var from peer.Peer
	ended := 0
	if _, err := c.UnaryCall(within(t), &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer), grpc.Peer(&from), grpc.OnFinish(func(error) { ended++ })); err != nil {
		t.Fatal(err)
	}
	if len(header.Get("instance")) != 1 || len(trailer.Get("instance-trailer")) != 1 || from.Addr == nil || ended != 1 {
		t.Errorf("header %v, trailer %v, peer %v, ended %d times", header, trailer, from.Addr, ended)
	}
}

func TestACallWithoutAHedgeWaitsForTheInstance(t *testing.T) {
	a, b := start(t, "a"), start(t, "b")
	c := balanced(t, hedge.New(nil), a, b)
	thaw := a.freeze()
	defer thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.UnaryCall(ctx, &testpb.SimpleRequest{}, hedge.Without()); status.Code(err) != codes.DeadlineExceeded || b.seen.Load() != 0 {
		t.Errorf("%v, and the other instance saw %d calls", err, b.seen.Load())
	}
}
