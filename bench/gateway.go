package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// A gateway's cost is the CPU of its process, beside that of a bare server which is
// called directly: what one more hop costs, in units of the cheapest server.

// ticks is how many clock ticks a second of CPU has in /proc, on every Linux that
// Go runs on.
const ticks = 100

// gatewayProcess is a gateway in front of bare servers.
type gatewayProcess struct {
	cmd        *exec.Cmd
	behind     []*server
	dir        string
	grpc, edge string
	conns      []*grpc.ClientConn
	web        *http.Client
}

// protocols are the ways of calling, by name; direct calls the bare server.
func (g *gatewayProcess) protocols() map[string]func(ctx context.Context, i int) error {
	json := []byte(`{"name":"users/ada-lovelace"}`)
	message := []byte("\x0a\x12users/ada-lovelace")
	frame := append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	post := func(contentType string, body []byte) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			return g.request(ctx, http.MethodPost, "/user.v1.UserService/GetUser", contentType, body)
		}
	}
	return map[string]func(ctx context.Context, i int) error{
		"direct": func(ctx context.Context, i int) error {
			conns := g.behind[0].conns
			return get(ctx, userv1.NewUserServiceClient(conns[i%len(conns)]))
		},
		"gRPC": func(ctx context.Context, i int) error {
			return get(ctx, userv1.NewUserServiceClient(g.conns[i%len(g.conns)]))
		},
		"gRPC-Web":      post("application/grpc-web+proto", frame),
		"Connect":       post("application/proto", message),
		"Connect, JSON": post("application/json", json),
		"REST": func(ctx context.Context, _ int) error {
			return g.request(ctx, http.MethodGet, "/v1/users/ada-lovelace", "", nil)
		},
	}
}

func (g *gatewayProcess) request(ctx context.Context, method, path, contentType string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+g.edge+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := g.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Contains(text, []byte("ada.lovelace@example.com"))) {
		err = fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	}
	return err
}

// startGateway builds the gateway and starts it in front of so many bare servers.
func startGateway(ctx context.Context, servers int, profile string) (g *gatewayProcess, err error) {
	g = &gatewayProcess{web: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if g.dir, err = os.MkdirTemp("", "keelson-bench-"); err != nil {
		return g, err
	}
	binary := filepath.Join(g.dir, "gateway")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./services/gateway/cmd/gateway")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return g, fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	for range servers {
		if err := g.startBehind(ctx, profile); err != nil {
			return g, err
		}
	}
	if err := g.start(ctx, binary); err != nil {
		return g, err
	}
	for range 4 {
		conn, err := grpc.NewClient("passthrough:///"+g.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return g, err
		}
		g.conns = append(g.conns, conn)
	}
	return g, g.ready(ctx)
}

// startBehind starts a bare server and registers it.
func (g *gatewayProcess) startBehind(ctx context.Context, profile string) error {
	s, err := startServer(ctx, bare, profile)
	if err != nil {
		return err
	}
	g.behind = append(g.behind, s)
	if err := s.connect(ctx, bare, 4, 0); err != nil {
		return err
	}
	registry, err := file.New(g.registry(), file.Config{})
	if err != nil {
		return err
	}
	return registry.Register(ctx, discovery.Instance{Service: "user", ID: fmt.Sprintf("user-%d", len(g.behind)), Address: s.address})
}

func (g *gatewayProcess) registry() string { return filepath.Join(g.dir, "registry") }

func (g *gatewayProcess) start(ctx context.Context, binary string) error {
	ports := make([]string, 2)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		ports[i] = l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
	}
	g.grpc, g.edge = ports[0], ports[1]
	descriptors, err := filepath.Abs("../services/gateway/descriptors.binpb")
	if err != nil {
		return err
	}
	config := filepath.Join(g.dir, "gateway.yaml")
	text := fmt.Sprintf("services: [{service: user.v1.UserService, target: user}]\ndescriptors: [%q]\n", descriptors)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	g.cmd = exec.CommandContext(ctx, binary, "--config", config)
	g.cmd.Env = append(os.Environ(), "KEELSON_GRPC__ADDRESS="+g.grpc, "KEELSON_EDGE__ADDRESS="+g.edge, "KEELSON_OPS__ADDRESS=off",
		"KEELSON_DEBUG__ADDRESS="+cmp.Or(os.Getenv("KEELSON_DEBUG__ADDRESS"), "off"), "KEELSON_LOG__FORMAT=json", "KEELSON_DRAIN__QUIET=1ms",
		"KEELSON_DISCOVERY__DRIVER=file", "KEELSON_DISCOVERY__FILE__DIR="+g.registry())
	stderr, err := g.cmd.StderrPipe() // read, as in production
	if err != nil {
		return err
	}
	if err := g.cmd.Start(); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return nil
}

// ready waits until every protocol answers.
func (g *gatewayProcess) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for name, call := range g.protocols() {
		err := call(ctx, 0)
		for ; err != nil && ctx.Err() == nil; err = call(ctx, 0) {
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("%s does not answer: %w", name, err)
		}
	}
	return nil
}

// cpu is what the gateway has used so far, user and system.
func (g *gatewayProcess) cpu() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(raw), ") ") // fields from the third on, proc(5)
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("read /proc: too few fields")
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * (time.Second / ticks), errors.Join(errUser, errSystem)
}

// round makes calls for a while, 64 at once, and returns the CPU of one: of the
// bare server for direct calls, else of the gateway.
func (g *gatewayProcess) round(ctx context.Context, name string, call func(context.Context, int) error, d time.Duration) (time.Duration, error) {
	measure := g.cpu
	if name == "direct" {
		measure = func() (time.Duration, error) { u, err := g.behind[0].usage(); return u.CPU, err }
	}
	before, err := measure()
	if err != nil {
		return 0, err
	}
	var calls atomic.Int64
	end := time.Now().Add(d)
	if err := each(64, func(i int) error {
		for time.Now().Before(end) {
			if err := call(ctx, i); err != nil {
				return err
			}
			calls.Add(1)
		}
		return nil
	}); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	after, err := measure()
	return (after - before) / time.Duration(max(calls.Load(), 1)), err
}

func (g *gatewayProcess) stop() {
	g.web.CloseIdleConnections()
	for _, c := range g.conns {
		_ = c.Close()
	}
	if g.cmd != nil && g.cmd.Process != nil {
		_ = g.cmd.Process.Signal(syscall.SIGTERM)
		_ = g.cmd.Wait()
	}
	for _, s := range g.behind {
		s.stop()
	}
	_ = os.RemoveAll(g.dir)
}

// hedged is the row of gRPC where there are two servers behind the gateway: calls
// may then be hedged, and are prepared for it.
const hedged = "gRPC, two servers"

// measureGateway compares all protocols in interleaved rounds, and prints them.
func measureGateway(ctx context.Context, w io.Writer, rounds int, d time.Duration, profile string) error {
	one, err := startGateway(ctx, 1, profile)
	if err != nil {
		return err
	}
	defer one.stop()
	two, err := startGateway(ctx, 2, "")
	if err != nil {
		return err
	}
	defer two.stop()
	costs := map[string][]time.Duration{}
	names := []string{"direct", "gRPC", hedged, "gRPC-Web", "Connect", "Connect, JSON", "REST"}
	for round := range rounds + 1 { // the first one warms up
		for _, name := range names {
			g, call := one, one.protocols()[name]
			if name == hedged {
				g, call = two, two.protocols()["gRPC"]
			}
			cost, err := g.round(ctx, name, call, d)
			if err != nil {
				return err
			}
			if round > 0 {
				costs[name] = append(costs[name], cost)
			}
		}
	}
	median := func(name string) time.Duration { slices.Sort(costs[name]); return costs[name][len(costs[name])/2] }
	fmt.Fprintf(w, "CPU of one unary call, 64 in flight, medians of %d interleaved rounds of %s: of a bare server that is called directly, and of the gateway alone in front of it\n\n", rounds, d)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "way\tCPU\tratio")
	for _, name := range names {
		fmt.Fprintf(t, "%s\t%s\t%.2f\n", name, micro(median(name)), float64(median(name))/float64(median("direct")))
	}
	return t.Flush()
}
