package up_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/up"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

// childVariable makes the test binary run a platform file instead of tests.
const childVariable = "UP_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		if err := up.New(up.Options{File: path, Output: os.Stdout, Program: "keelson"}).Run(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait; a build on a cold cache is in it.
const patience = 4 * time.Minute

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// buffer is a writer that may be read meanwhile.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// module makes a module with the echo service and a platform file in a
// directory of its own, so that a test may change its sources.
func module(t *testing.T, platform string) (root string) {
	t.Helper()
	root = t.TempDir()
	repository, err := filepath.Abs("../../../..")
	must(t, err)
	mod, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	must(t, err)
	text := strings.Replace(string(mod), "module github.com/keelson-dev/keelson", "module example.com/platform", 1)
	text += "\nrequire github.com/keelson-dev/keelson v0.0.0\nreplace github.com/keelson-dev/keelson => " + repository + "\n"
	sum, err := os.ReadFile(filepath.Join(repository, "go.sum"))
	must(t, err)
	source, err := os.ReadFile("testdata/echo/main.go")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(root, "echo"), 0o755))
	for name, content := range map[string]string{
		"go.mod": text, "go.sum": string(sum), "echo/main.go": string(source), "keelson.yaml": platform,
	} {
		must(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
	}
	return root
}

const echo = `
services:
  - name: echo
    package: ./echo
    instances: 2
    try: ["call echo EmptyCall"]
`

// run is a platform that runs.
type run struct {
	t        *testing.T
	root     string
	up       *up.Up
	out      *buffer
	stop     context.CancelFunc
	finished chan error
}

// start runs up until stop, and waits until it says that it is ready.
func start(t *testing.T, root string, opts up.Options) *run {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{t: t, root: root, out: &buffer{}, stop: cancel, finished: make(chan error, 1)}
	opts.File, opts.Output, opts.Program = filepath.Join(root, "keelson.yaml"), r.out, "keelson"
	r.up = up.New(opts)
	go func() { r.finished <- r.up.Run(ctx) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("up said:\n%s", r.out)
		}
	})
	t.Cleanup(r.end)
	eventually(t, "the platform is ready", func() bool {
		select {
		case err := <-r.finished:
			r.finished <- err
			t.Fatalf("up ended: %v\n%s", err, r.out)
		default:
		}
		return strings.Contains(r.out.String(), "\nready in")
	})
	return r
}

// end stops the platform, if it runs, and waits for it.
func (r *run) end() {
	r.stop()
	err := <-r.finished
	r.finished <- err
	if err != nil {
		r.t.Errorf("up ended with %v, want nil", err)
	}
}

func (r *run) registry() string { return filepath.Join(r.root, ".keelson", "discovery") }

func (r *run) instances() []discovery.Instance {
	r.t.Helper()
	list, err := file.List(r.registry())
	must(r.t, err)
	return list
}
