package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/internal/testservers/port"
)

// consolePlatform is instances of the user service, one of the audit service and
// a gateway with the console, which a test in a browser can kill and start.
type consolePlatform struct {
	*platform
	edge    string   // host:port, the same for every gateway
	control string   // the URL of ServeHTTP, whose pages may call the gateway
	userEnv []string // what instances of the user service are told

	mu      sync.Mutex
	users   map[string]*instance
	gateway *instance
	killed  string // the user instance that is away
}

// startConsole starts a platform with some instances of the user service, which
// may be told more by their environment.
func startConsole(t *testing.T, users []string, userEnv ...string) *consolePlatform {
	t.Helper()
	p := &consolePlatform{platform: newPlatform(t), edge: port.Free(t), userEnv: userEnv, users: map[string]*instance{}}
	control := httptest.NewServer(p)
	t.Cleanup(control.Close)
	p.control = control.URL
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range users {
		p.startUser(id)
	}
	p.startProgram("services/audit/cmd/audit", "audit-a", &bytes.Buffer{}, "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "audit.db"))
	p.startGateway()
	return p
}

func (p *consolePlatform) startUser(id string) {
	p.users[id] = p.start(id, append(p.userEnv, "KEELSON_STORE__SQLITE__PATH="+filepath.Join(p.dir, "user.db"))...)
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
		"KEELSON_CONFIG="+config, "KEELSON_EDGE__ADDRESS="+p.edge, "KEELSON_EDGE__CORS__ORIGINS="+p.control, "KEELSON_DESCRIPTORS="+descriptors)
	p.gateway.log = log
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
	case "/compact":
		p.compact(r.URL.Query().Get("revision"))
	case "/page": // of another origin than the gateway's
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintln(w, "<!doctype html><title>A page of somebody else</title>")
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

// compact waits until the changes since a revision are not kept any more: not in
// the store, nor in the memory of the instances, which are started anew.
func (p *consolePlatform) compact(revision string) {
	for id, i := range p.users {
		i.end(p.t)
		p.startUser(id)
	}
	p.wait("changes since "+revision+" to be forgotten", func() bool {
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
		defer cancel() // a stream of changes that are kept ends with it
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.edge+"/v1/users:watch?start_revision="+url.QueryEscape(revision), http.NoBody)
		if err != nil {
			p.t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return false
		}
		text, err := io.ReadAll(answer.Body)
		return err == nil && bytes.Contains(text, []byte("REVISION_COMPACTED"))
	})
}

// ofItsOwn are the files that have a test for themselves below.
var ofItsOwn = []string{"extremes.test.mjs", "resync.test.mjs", "states.test.mjs"}

// TestConsoleInABrowser runs console/e2e in Chromium before the real platform.
// Screenshots are kept in .cache/screenshots. KEELSONTEST_CONSOLE_TESTS names
// files of console/e2e to run instead of all.
func TestConsoleInABrowser(t *testing.T) {
	console := consoleFolder(t)
	files := filepath.SplitList(os.Getenv("KEELSONTEST_CONSOLE_TESTS"))
	if len(files) == 0 {
		all, err := filepath.Glob(filepath.Join(console, "e2e", "*.test.mjs"))
		if err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(all, func(f string) bool { return slices.Contains(ofItsOwn, filepath.Base(f)) })
	}
	p := startConsole(t, []string{"user-a", "user-b", "user-c"})
	p.seed()
	p.browse(console, files...)
}

// TestConsoleReadsAnewWhatIsForgotten runs the test of pages that were away for
// longer than the user service keeps changes.
func TestConsoleReadsAnewWhatIsForgotten(t *testing.T) {
	console := consoleFolder(t)
	p := startConsole(t, []string{"user-a"}, "KEELSON_PURGE__INTERVAL=20ms", "KEELSON_PURGE__EVENT_COUNT=1")
	p.browse(console, filepath.Join("e2e", "resync.test.mjs"))
}

// TestConsoleShowsExtremes runs the tests of what a small platform does not have,
// and of states that pass too soon to be looked at, before the gateway in memory.
func TestConsoleShowsExtremes(t *testing.T) {
	console := consoleFolder(t)
	files := []string{"e2e/fake.mjs", filepath.Join("e2e", "extremes.test.mjs"), filepath.Join("e2e", "states.test.mjs")}
	if err := runNode(t, console, nil, files...); err != nil {
		t.Errorf("the tests in the browser: %v", err)
	}
}

// browse runs tests of console/e2e before the platform.
func (p *consolePlatform) browse(console string, files ...string) {
	p.t.Helper()
	env := []string{"KEELSONTEST_CONSOLE_URL=http://" + p.edge, "KEELSONTEST_CONSOLE_CONTROL=" + p.control, "KEELSONTEST_CONSOLE_FAKE="}
	err := runNode(p.t, console, env, append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, files...)...)
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.gateway.end(p.t) // until then it writes its log
		p.t.Errorf("the tests in the browser: %v\nthe gateway wrote:\n%s", err, p.gateway.log)
	}
}

// runNode runs Node in the folder of the console. Who is interrupted has it end
// itself: it has a browser to take with it.
func runNode(t *testing.T, console string, env []string, args ...string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", args...) //nolint:gosec // our own files
	node.Dir = console
	node.Env = append(os.Environ(), env...)
	node.Stdout, node.Stderr = t.Output(), t.Output()
	node.Cancel = func() error { return node.Process.Signal(os.Interrupt) }
	node.WaitDelay = time.Minute
	return node.Run()
}

// consoleFolder is the folder of the console; the test is skipped where its
// tests cannot run.
func consoleFolder(t *testing.T) string {
	t.Helper()
	console, err := filepath.Abs("../console")
	if err != nil {
		t.Fatal(err)
	}
	needsForConsole(t, console)
	return console
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
