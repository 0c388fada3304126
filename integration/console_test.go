package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// consolePlatform is three instances of the user service, one of the audit
// service and a gateway with the console, which a test in a browser can kill and
// start.
type consolePlatform struct {
	*platform
	edge string // host:port, the same for every gateway

	mu      sync.Mutex
	users   map[string]*instance
	gateway *instance
	killed  string // the user instance that is away
}

func startConsole(t *testing.T) *consolePlatform {
	t.Helper()
	p := &consolePlatform{platform: newPlatform(t), edge: freeAddress(t), users: map[string]*instance{}}
	for _, id := range []string{"user-a", "user-b", "user-c"} {
		p.startUser(id)
	}
	p.startProgram("services/audit/cmd/audit", "audit-a", &bytes.Buffer{}, "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "audit.db"))
	p.startGateway()
	return p
}

func (p *consolePlatform) startUser(id string) {
	p.users[id] = p.start(id, "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "user.db"))
}

func (p *consolePlatform) startGateway() {
	config := filepath.Join(p.dir, "gateway.yaml")
	text := `services:
  - {service: user.v1.UserService, target: user}
  - {service: audit.v1.AuditService, target: audit}
platform:
  links:
    trace: http://127.0.0.1:16686/search?service=gateway&tags=%7B%22keelson.correlation_id%22%3A%22{correlation_id}%22%7D
    service_traces: http://127.0.0.1:16686/search?service={service}
    service_dashboard: http://127.0.0.1:3000/d/keelson-service?var-service={service}
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	descriptors, err := filepath.Abs("../services/gateway/descriptors.binpb")
	if err != nil {
		p.t.Fatal(err)
	}
	log := &bytes.Buffer{}
	p.gateway = p.startProgram("services/gateway/cmd/gateway", "gateway-a", log,
		"KEELSON_CONFIG="+config, "KEELSON_EDGE__ADDRESS="+p.edge, "KEELSON_DESCRIPTORS="+descriptors)
	p.gateway.log = log
}

// freeAddress is one that nothing listens on now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// ServeHTTP does what a test asks for; see control in console/e2e/setup.mjs.
func (p *consolePlatform) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch r.URL.Path {
	case "/kill":
		p.killed = "user-b"
		p.users[p.killed].kill()
		fmt.Fprintln(w, p.killed)
	case "/revive":
		p.startUser(p.killed)
	case "/gateway/stop":
		p.gateway.end(p.t)
	case "/gateway/start":
		p.startGateway()
	default:
		http.NotFound(w, r)
	}
}

// seed creates some users, so that no list is empty.
func (p *consolePlatform) seed() {
	for i := range 40 {
		body := fmt.Sprintf(`{"userId": "seed-%02d", "user": {"email": "seed-%02d@example.com", "displayName": "Seed %02d", "labels": {"team": "infra"}}}`, i, i, i)
		r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.edge+"/user.v1.UserService/CreateUser", bytes.NewBufferString(body))
		if err != nil {
			p.t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			p.t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			p.t.Fatalf("create user %d: %s", i, answer.Status)
		}
	}
}

// TestConsoleInABrowser runs console/e2e in Chromium before the real platform.
// Screenshots are kept in .cache/screenshots. KEELSONTEST_CONSOLE_TESTS names
// files of console/e2e to run instead of all.
func TestConsoleInABrowser(t *testing.T) {
	console, err := filepath.Abs("../console")
	if err != nil {
		t.Fatal(err)
	}
	needsForConsole(t, console)
	p := startConsole(t)
	p.seed()
	control := httptest.NewServer(p)
	defer control.Close()

	files := []string{"e2e/"}
	if only := os.Getenv("KEELSONTEST_CONSOLE_TESTS"); only != "" {
		files = filepath.SplitList(only)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, files...)...) //nolint:gosec // our own files
	node.Dir = console
	node.Env = append(os.Environ(), "KEELSONTEST_CONSOLE_URL=http://"+p.edge, "KEELSONTEST_CONSOLE_CONTROL="+control.URL)
	node.Stdout, node.Stderr = t.Output(), t.Output()
	if err := node.Run(); err != nil {
		p.gateway.end(t) // until then it writes its log
		t.Errorf("the tests in the browser: %v\nthe gateway wrote:\n%s", err, p.gateway.log)
	}
}

// needsForConsole skips, unless CI forbids it, where there is no browser, no
// Node, or the packages of the console are not installed.
func needsForConsole(t *testing.T, console string) {
	t.Helper()
	chromium := os.Getenv("KEELSONTEST_CHROMIUM")
	if chromium == "" {
		chromium = "/usr/bin/chromium"
	}
	missing := ""
	if _, err := os.Stat(chromium); err != nil {
		missing = chromium + " is not installed (apt-get install chromium)"
	}
	if _, err := exec.LookPath("node"); err != nil {
		missing = "node is not installed"
	}
	if _, err := os.Stat(filepath.Join(console, "node_modules", "playwright-core")); err != nil {
		missing = "the packages of the console are not installed (npm ci --ignore-scripts in console)"
	}
	if missing == "" {
		return
	}
	if os.Getenv(requireServers) == "1" {
		t.Fatal(missing + ", and " + requireServers + "=1")
	}
	t.Skip("no browser tests of the console: " + missing)
}
