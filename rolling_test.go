package keelson_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
)

// fleet is instances of one service, registered in a directory.
type fleet struct {
	t   *testing.T
	cfg keelson.Config
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{t: t}
	f.cfg.GRPC.Address = "127.0.0.1:0"
	f.cfg.Ops.Address, f.cfg.Debug.Address = "off", "off"
	f.cfg.Log.Format = "json"
	f.cfg.Discovery.Driver = "file"
	f.cfg.Discovery.File.Dir = t.TempDir()
	f.cfg.Drain.Quiet, f.cfg.Drain.Propagation = 50*time.Millisecond, time.Second
	return f
}

// dial returns a client of the fleet's registry, which is closed when the test ends,
// and its connection to the service.
func (f *fleet) dial(opts ...keelson.Option) (*keelson.Client, *grpc.ClientConn) {
	f.t.Helper()
	client, err := keelson.NewClient("load", f.cfg, append(opts, keelson.WithLogOutput(io.Discard))...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = client.Close() })
	conn, err := client.Dial("shop")
	if err != nil {
		f.t.Fatal(err)
	}
	return client, conn
}

// start runs an instance; stop drains it and returns what Run returned.
func (f *fleet) start(impl testpb.TestServiceServer) (stop func() error) {
	f.t.Helper()
	return f.serve(func(s *keelson.Service) { testpb.RegisterTestServiceServer(s, impl) })
}

func (f *fleet) serve(register func(*keelson.Service)) (stop func() error) {
	f.t.Helper()
	s, err := keelson.New("shop", f.cfg, keelson.WithLogOutput(io.Discard))
	if err != nil {
		f.t.Fatal(err)
	}
	register(s)
	serving := make(chan struct{})
	s.Go("tell", func(ctx context.Context) error { close(serving); <-ctx.Done(); return nil })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	f.t.Cleanup(func() { _ = stop() })
	select {
	case <-serving:
	case err := <-ended:
		f.t.Fatalf("the instance did not start: %v", err)
	}
	return stop
}

// rounds is how often a rolling restart is made: few by default, and
// KEELSONTEST_ROLLING_ROUNDS for more.
func rounds(t *testing.T, few int) int {
	t.Helper()
	text := os.Getenv("KEELSONTEST_ROLLING_ROUNDS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("KEELSONTEST_ROLLING_ROUNDS is %q; want a count of rounds", text)
	}
	return n
}

func TestARollingRestartLosesNoCall(t *testing.T) {
	f := newFleet(t)
	answer := func(context.Context, *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
		return &testpb.SimpleResponse{}, nil
	}
	instance := func() func() error {
		return f.start(&stub{unary: answer, output: func(_ *testpb.StreamingOutputCallRequest, ss testpb.TestService_StreamingOutputCallServer) error {
			if err := ss.Send(&testpb.StreamingOutputCallResponse{}); err != nil {
				return err
			}
			<-keelson.Draining(ss.Context())
			return errs.Draining("token")
		}})
	}
	stops := []func() error{instance(), instance(), instance()}
	_, conn := f.dial()
	c := testpb.NewTestServiceClient(conn)

	ctx, cancel := context.WithCancel(context.Background())
	var calls, watches atomic.Int64
	var failed sync.Map
	var load sync.WaitGroup
	for i := range 8 {
		load.Go(func() {
			for ctx.Err() == nil {
				call, end := context.WithTimeout(context.Background(), 10*time.Second)
				// No retry: UnaryCall is not declared idempotent.
				if _, err := c.UnaryCall(call, &testpb.SimpleRequest{}); err != nil {
					failed.Store(fmt.Sprintf("caller %d: %v", i, err), true)
				}
				end()
				calls.Add(1)
			}
		})
	}
	load.Go(func() {
		for ctx.Err() == nil {
			s, err := c.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
			if err == nil {
				_, err = s.Recv()
			}
			if err == nil {
				_, err = s.Recv()
			}
			if token, _ := errs.ResumeToken(err); ctx.Err() == nil && token != "token" {
				failed.Store(fmt.Sprintf("watch: %v", err), true)
			}
			watches.Add(1)
		}
	})
	n := rounds(t, 2)
	for range n {
		for i := range stops {
			next := instance()
			if err := stops[i](); err != nil {
				t.Errorf("drain: %v", err)
			}
			stops[i] = next
		}
	}
	cancel()
	load.Wait()
	failed.Range(func(k, _ any) bool { t.Error(k); return true })
	t.Logf("%d rounds, %d calls, %d watches", n, calls.Load(), watches.Load())
	if calls.Load() < int64(n) {
		t.Errorf("only %d calls were made", calls.Load())
	}
}
