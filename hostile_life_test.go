package keelson_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/policy"
)

func quiet() keelson.Config {
	return keelson.Config{
		GRPC: keelson.GRPCConfig{Address: "127.0.0.1:0"}, Ops: keelson.OpsConfig{Address: "off"}, Debug: keelson.DebugConfig{Address: "off"},
		Log: keelson.LogConfig{Format: "json"}, Drain: keelson.DrainConfig{Propagation: time.Millisecond, Quiet: time.Millisecond},
	}
}

func TestStoresAreClosedAfterTheServerAndBeforeTheClient(t *testing.T) {
	s, err := keelson.New("shop", quiet(), keelson.WithLogOutput(io.Discard))
	must(t, err)
	var mu sync.Mutex
	var order []string
	note := func(name string) func(context.Context) error {
		return func(context.Context) error { mu.Lock(); defer mu.Unlock(); order = append(order, name); return nil }
	}
	conn, err := s.Dial("127.0.0.1:1")
	must(t, err)
	s.OnStart("store", note("open store"))
	s.OnStop("store", note("close store"))
	s.OnStop("cache", func(ctx context.Context) error {
		err := invoke(ctx, conn, unaryCall, grpc.WaitForReady(false))
		if strings.Contains(err.Error(), "closing") {
			t.Errorf("the client was closed before the stop steps: %v", err)
		}
		return note("close cache")(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	s.Go("late", func(work context.Context) error {
		s.Go("worker added late", func(ctx context.Context) error { _ = note("late worker")(ctx); cancel(); <-ctx.Done(); return nil })
		s.OnStop("added late", note("close what came late"))
		<-work.Done()
		return nil
	})
	must(t, s.Run(ctx))
	want := []string{"open store", "late worker", "close what came late", "close cache", "close store"}
	if !slices.Equal(order, want) {
		t.Errorf("order %q, want %q", order, want)
	}
	if _, err := s.Dial("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Dial after the end: %v", err)
	}
}

func TestAListenerThatWasGivenIsClosedWhateverHappens(t *testing.T) {
	for name, spoil := range map[string]func(s *keelson.Service){
		"start step": func(s *keelson.Service) {
			s.OnStart("migrate", func(context.Context) error { return errors.New("no") })
		},
		"registration": func(s *keelson.Service) { s.RegisterService(&testpb.TestService_ServiceDesc, struct{}{}) },
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			s, err := keelson.New("shop", quiet(), keelson.WithListener(l), keelson.WithLogOutput(io.Discard))
			must(t, err)
			spoil(s)
			if err := s.Run(bounded(t)); err == nil {
				t.Error("it ran")
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener is still open: %v", err)
			}
		})
	}
}

func TestAReloadThatTheDrainCannotFollowIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "service.yaml")
	write := func(text string) {
		must(t, os.WriteFile(file, []byte("ops: {address: 'off'}\ndebug: {address: 'off'}\n"+text), 0o600))
	}
	write("")
	var cfg keelson.Config
	must(t, keelson.LoadConfig(&cfg, []string{"--config", file}))
	cfg.Log.Format = "json"
	var log logBuffer
	_, _, ended, cancel := runTCP(t, cfg, &log)
	write("methods: [{method: /grpc.testing.TestService/UnaryCall, timeout: 1h}]\n")
	keelsontest.Eventually(t, "the refusal of a long deadline", func() bool {
		return strings.Contains(log.String(), "service.yaml:3") && strings.Contains(log.String(), "raise drain.calls")
	})
	write("methods: [{method: /user.v1.UserService/GetUser, retry_attempts: 5}]\n")
	keelsontest.Eventually(t, "the refusal of other retries", func() bool { return strings.Contains(log.String(), "retry_attempts of /user.v1.UserService/GetUser") })
	cancel()
	must(t, <-ended)
}

func TestASIGHUPDuringTheStartEndsNothing(t *testing.T) {
	t.Setenv("KEELSON_OPS__ADDRESS", "off")
	t.Setenv("KEELSON_DEBUG__ADDRESS", "off")
	t.Setenv("KEELSON_GRPC__ADDRESS", "127.0.0.1:0")
	var cfg keelson.Config
	must(t, keelson.LoadConfig(&cfg, []string{"--set", "drain.quiet=1ms"}))
	s, err := keelson.New("shop", cfg, keelson.WithLogOutput(io.Discard))
	must(t, err)
	s.OnStart("migrate", func(context.Context) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
		keelsontest.Eventually(t, "the arrival of the signal", func() bool { return !hangupPending(t) })
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	s.Go("end", func(ctx context.Context) error { cancel(); <-ctx.Done(); return nil })
	must(t, s.Run(ctx))
}

// hangupPending reports whether a SIGHUP to this process has yet to be taken by
// one of its threads; false where the kernel does not tell.
func hangupPending(t *testing.T) bool {
	status, err := os.ReadFile("/proc/self/status")
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	must(t, err)
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "ShdPnd:"); ok {
			bits, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			must(t, err)
			return bits&(1<<(syscall.SIGHUP-1)) != 0
		}
	}
	return false
}

func TestTargetsOfEveryForm(t *testing.T) {
	address, _, ended, cancel := runTCP(t, quiet(), io.Discard)
	_, port, _ := net.SplitHostPort(address)
	client, err := keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	must(t, err)
	for _, target := range []string{address, "localhost:" + port, "dns:///" + address, "dns:" + address, "passthrough:///" + address, "passthrough:" + address} {
		conn, err := client.Dial(target)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		if err := invoke(bounded(t), conn, unaryCall); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	for target, want := range map[string]string{
		"": "empty", "shop": "discovery.driver is none", "consul:///shop": "nothing resolves consul", "http://127.0.0.1:1": "nothing resolves http",
		"dns:///192.0.2.1:443": "insecure: true", "dns:192.0.2.1:443": "insecure: true", "shop.internal:443": "insecure: true",
	} {
		if _, err := client.Dial(target); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %q", target, err, want)
		}
	}
	for range 2 {
		must(t, client.Close())
	}
	if _, err := client.Dial(address); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("Dial after Close: %v", err)
	}
	cancel()
	must(t, <-ended)
}

// far pretends that a connection leads off this machine.
type far struct{ net.Conn }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 443} }

func TestPlaintextThatARegistryLeadsOffLoopbackIsRefused(t *testing.T) {
	address, _, ended, cancel := runTCP(t, quiet(), io.Discard)
	client, err := keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	must(t, err)
	defer client.Close()
	conn, err := client.Dial("passthrough:///somewhere", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		return far{c}, err
	}))
	must(t, err)
	if err := invoke(bounded(t), conn, unaryCall, grpc.WaitForReady(false)); err == nil || !strings.Contains(errors.Unwrap(err).Error(), "insecure: true") {
		t.Errorf("got %v", err)
	}
	cancel()
	must(t, <-ended)
}

func TestAStreamOfAMethodNobodyKnowsHasNoDeadline(t *testing.T) {
	cfg := keelson.Config{Policy: keelson.PolicyConfig{Timeout: 50 * time.Millisecond}}
	client, err := keelson.NewClient("caller", cfg, keelson.WithLogOutput(io.Discard), keelson.WithClientInterceptors(nil, []grpc.StreamClientInterceptor{
		func(ctx context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ grpc.Streamer, _ ...grpc.CallOption) (grpc.ClientStream, error) {
			if d, ok := ctx.Deadline(); ok {
				t.Errorf("the stream has the deadline %v", d)
			}
			return nil, errs.Unavailable("AWAY", "away")
		},
	}))
	must(t, err)
	defer client.Close()
	conn, err := client.Dial("127.0.0.1:1")
	must(t, err)
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/made.up/Watch"); errs.Reason(err) != "AWAY" {
		t.Errorf("got %v", err)
	}
}

func TestAUnaryMethodWithoutADeadlineFitsNoDrain(t *testing.T) {
	s, err := keelson.New("test", keelson.Config{Methods: []policy.Override{{Method: unaryCall, Timeout: -1}}}, keelson.WithLogOutput(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	testpb.RegisterTestServiceServer(s, &stub{})
	if err := s.Run(bounded(t)); err == nil || !strings.Contains(err.Error(), "no drain is long enough") {
		t.Errorf("Run: %v", err)
	}
}

func TestAPlaintextCollectorOffLoopbackIsRefused(t *testing.T) {
	for endpoint, ok := range map[string]bool{"http://collector.example:4317": false, "http://127.0.0.1:4317": true, "https://collector.example:4317": true} {
		_, err := keelson.New("test", keelson.Config{Trace: keelson.TraceConfig{Endpoint: endpoint}}, keelson.WithLogOutput(io.Discard))
		if (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
