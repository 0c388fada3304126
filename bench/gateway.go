package main

import (
	"bytes"
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
	"sync"
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
	cmd     *exec.Cmd
	said    tail
	behind  []*server
	dir     string
	grpc    string // address of native gRPC
	edge    string // address of the others
	debug   string // address of its profiles
	profile string // directory for them, "" for none
	conns   []*grpc.ClientConn
	web     *http.Client
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-2000):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
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
		direct: func(ctx context.Context, i int) error {
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
	g = &gatewayProcess{profile: profile, web: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	if g.dir, err = os.MkdirTemp("", "keelson-bench-"); err != nil {
		return g, err
	}
	binary := filepath.Join(g.dir, "gateway")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./services/gateway/cmd/gateway") //nolint:gosec // a folder made here
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return g, fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	for range servers {
		if err := g.startBehind(ctx); err != nil {
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
func (g *gatewayProcess) startBehind(ctx context.Context) error {
	s, err := startServer(ctx, bare, "")
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
	for _, address := range []*string{&g.grpc, &g.edge, &g.debug} {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*address = l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
	}
	if g.profile == "" {
		g.debug = "off"
	}
	descriptors, err := filepath.Abs("../services/gateway/descriptors.binpb")
	if err != nil {
		return err
	}
	config := filepath.Join(g.dir, "gateway.yaml")
	text := fmt.Sprintf("services: [{service: user.v1.UserService, target: user}]\ndescriptors: [%q]\n", descriptors)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	g.cmd = exec.CommandContext(ctx, binary, "--config", config) //nolint:gosec // built here
	g.cmd.Env = append(os.Environ(), "KEELSON_GRPC__ADDRESS="+g.grpc, "KEELSON_EDGE__ADDRESS="+g.edge, "KEELSON_OPS__ADDRESS=off",
		"KEELSON_DEBUG__ADDRESS="+g.debug, "KEELSON_LOG__FORMAT=json", "KEELSON_DRAIN__QUIET=1ms",
		"KEELSON_DISCOVERY__DRIVER=file", "KEELSON_DISCOVERY__FILE__DIR="+g.registry())
	g.cmd.Stderr = &g.said // read, as in production
	return g.cmd.Start()
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
			return fmt.Errorf("%s does not answer: %w; the gateway said last:\n%s", name, err, &g.said)
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
	if name == direct {
		measure = func() (time.Duration, error) { u, err := g.behind[0].usage(); return u.CPU, err }
	}
	before, err := measure()
	if err != nil {
		return 0, err
	}
	var calls atomic.Int64
	profiled := func() error { return nil }
	if g.profile != "" && name != direct {
		profiled = g.profiles(ctx, name, d)
	}
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
		return 0, errors.Join(fmt.Errorf("%s: %w", name, err), profiled())
	}
	after, err := measure()
	return (after - before) / time.Duration(max(calls.Load(), 1)), errors.Join(err, profiled())
}

// profiles has a profile of the gateway's CPU written, of so long from now; what it
// returns waits until it is.
func (g *gatewayProcess) profiles(ctx context.Context, name string, d time.Duration) (wait func() error) {
	done := make(chan error, 1)
	go func() {
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", g.debug, max(1, int(d.Seconds())))
		done <- g.save(ctx, url, filepath.Join(g.profile, "gateway-"+name+".pprof"))
	}()
	return func() error { return <-done }
}

func (g *gatewayProcess) save(ctx context.Context, url, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := g.web.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("read %s: %s: %.200s", url, resp.Status, data), err)
	}
	return os.WriteFile(path, data, 0o600)
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

const (
	// direct is the row that the others are compared with: calls of the bare server.
	direct = "direct"
	// hedged is the row of gRPC where there are two servers behind the gateway: calls
	// may then be hedged, and are prepared for it.
	hedged = "gRPC, two servers"
)

// measureGateway compares all protocols, or direct calls and that of one name, in
// interleaved rounds, and prints them.
func measureGateway(ctx context.Context, w io.Writer, rounds int, d time.Duration, only, profile string) error {
	names := []string{direct, "gRPC", hedged, "gRPC-Web", "Connect", "Connect, JSON", "REST"}
	if only != "" {
		if !slices.Contains(names[1:], only) {
			return fmt.Errorf("there is no scenario %q of the gateway; there are %q", only, names[1:])
		}
		names = []string{direct, only}
	}
	one, err := startGateway(ctx, 1, profile)
	if err != nil {
		return err
	}
	defer one.stop()
	two, err := startGateway(ctx, 2, profile)
	if err != nil {
		return err
	}
	defer two.stop()
	costs := map[string][]time.Duration{}
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
	printGateway(w, names, costs, fmt.Sprintf("medians of %d interleaved rounds of %s", rounds, d))
	return nil
}

// printGateway prints the medians of what calls cost.
func printGateway(w io.Writer, names []string, costs map[string][]time.Duration, conditions string) {
	median := func(name string) time.Duration { slices.Sort(costs[name]); return costs[name][len(costs[name])/2] }
	fmt.Fprintf(w, "CPU of one unary call, 64 in flight, %s: of a bare server that is called directly, and of the gateway alone in front of it\n\n", conditions)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "way\tCPU\tratio")
	for _, name := range names {
		fmt.Fprintf(t, "%s\t%s\t%.2f\n", name, micro(median(name)), float64(median(name))/float64(median(direct)))
	}
	_ = t.Flush() // to what fmt.Fprint writes to
}
