package edge_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

// pool is where clients connect: the instance that is current.
type pool struct{ current atomic.Pointer[running] }

func (p *pool) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "tcp", p.current.Load().Address())
}

// hammer calls until the context ends, and counts calls and those that failed.
type hammer struct {
	name  string
	call  func() error
	calls atomic.Int64
	mu    sync.Mutex
	lost  []error
}

func (h *hammer) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := h.call()
		h.calls.Add(1)
		if err != nil {
			h.mu.Lock()
			h.lost = append(h.lost, err)
			h.mu.Unlock()
		}
	}
}

func hammers(t *testing.T, p *pool) []*hammer {
	t.Helper()
	var all []*hammer
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		c := client(t, h2)
		tr, _ := c.Transport.(*http.Transport)
		tr.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) }
		all = append(all, &hammer{name: name, call: func() error {
			resp, err := c.Post("http://edge/v1/EchoService:echo", "application/json", strings.NewReader(`{"payload":{"body":"QQ=="}}`)) //nolint:noctx // it ends
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				return errs.Internal("STATUS", "%s", resp.Status)
			}
			return nil
		}})
	}
	conn, err := grpc.NewClient("passthrough:///edge", plaintext(), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return p.dial(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return append(all, &hammer{name: "gRPC", call: func() error {
		var m response
		return conn.Invoke(context.Background(), "/"+echoService+"/Echo", says("A"), &m, grpc.WaitForReady(true))
	}})
}

func TestADrainLosesNoCall(t *testing.T) {
	const rounds = 4
	var p pool
	p.current.Store(start(t, edge.Config{H2C: true}))
	ctx, cancel := context.WithCancel(t.Context())
	all := hammers(t, &p)
	var running sync.WaitGroup
	for _, h := range all {
		for range 4 {
			running.Go(func() { h.run(ctx) })
		}
	}
	for range rounds {
		before := make([]int64, len(all))
		for i, h := range all {
			before[i] = h.calls.Load()
		}
		keelsontest.Eventually(t, "all call", func() bool {
			for i, h := range all {
				if h.calls.Load() < before[i]+20 {
					return false
				}
			}
			return true
		})
		old := p.current.Swap(start(t, edge.Config{H2C: true}))
		if err := old.stop(); err != nil {
			t.Errorf("the drain ended with %v", err)
		}
	}
	cancel()
	running.Wait()
	for _, h := range all {
		t.Logf("%s: %d calls", h.name, h.calls.Load())
		for _, err := range h.lost {
			t.Errorf("%s lost a call: %v", h.name, err)
		}
	}
}

func TestOpenStreamsHearOfTheDrain(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	m := says("x")
	m.FillUsername, m.ResponseSize = true, 1
	for _, w := range ways(t, r) {
		if skips(w.name, "List", "") || w.name == "REST" {
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			r := start(t, edge.Config{H2C: true})
			for _, here := range ways(t, r) {
				if here.name != w.name {
					continue
				}
				got := make(chan outcome, 1)
				go func() { got <- here.call(outgoing(context.Background(), "stream"), "List", []*request{m}) }()
				keelsontest.Eventually(t, "the stream is open", func() bool { return r.counted(t, "grpc_server_msg_sent_total", "grpc_method", "List") == 1 })
				if err := r.stop(); err != nil {
					t.Error(err)
				}
				if out := <-got; out.Code != codes.Unavailable || len(out.Answers) != 1 || !strings.Contains(strings.Join(out.Details, " "), "google.rpc.ErrorInfo") {
					t.Errorf("%+v", out)
				}
			}
		})
	}
}

func TestTheFirstMessageIsNotHeldBack(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	m := says("x")
	m.FillUsername, m.ResponseSize = true, 1
	for _, media := range []string{"application/grpc-web+proto", "application/grpc-web-text", "application/connect+json", "application/connect+proto"} {
		t.Run(media, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, url(r, "/%s/List", echoService), strings.NewReader(framed(t, media, m)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", media)
			resp, err := client(t, false).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			if n, err := resp.Body.Read(make([]byte, 64)); n == 0 {
				t.Errorf("nothing came while the stream was open: %v", err)
			}
		})
	}
}

func TestAHandlerWithoutAListenerIsDrainedToo(t *testing.T) {
	r := start(t, edge.Config{Address: "off"})
	if got := r.Address(); got != "" {
		t.Errorf("it listens on %s", got)
	}
	s := http.Server{Handler: r.Edge, ReadHeaderTimeout: time.Second}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	resp, _ := do(t, client(t, false), http.MethodPost, "http://"+l.Addr().String()+"/v1/EchoService:echo", "{}", "Content-Type", "application/json")
	if resp.StatusCode != http.StatusOK || resp.Close {
		t.Errorf("%d, close %v", resp.StatusCode, resp.Close)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	<-served
}

func TestServicesComeAndGo(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	call := func() (int, string) {
		resp, text := do(t, client(t, false), http.MethodPost, url(r, "/edgetest.v1.LateService/Echo"), "{}", "Content-Type", "application/json", "Connect-Protocol-Version", "1")
		return resp.StatusCode, text
	}
	if code, text := call(); code != http.StatusNotFound {
		t.Errorf("%d %s", code, text)
	}
	if err := r.service.Expose("edgetest.v1.LateService", echo(t, "LateService"), serveEcho); err != nil {
		t.Fatal(err)
	}
	if code, text := call(); code != http.StatusOK {
		t.Errorf("%d %s", code, text)
	}
	r.service.Withdraw("edgetest.v1.LateService")
	keelsontest.Eventually(t, "it is gone", func() bool { code, _ := call(); return code == http.StatusNotFound })
}
