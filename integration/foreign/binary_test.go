package foreign_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

const (
	// requireEnv set to 1 turns a missing tool into a failure.
	requireEnv = "KEELSONTEST_REQUIRE_SERVERS"
	// startTimeout bounds the start of a service, drainTimeout its end: beyond
	// them something is stuck.
	startTimeout = time.Minute
	drainTimeout = time.Minute
	pollInterval = 20 * time.Millisecond
)

// tool returns the path of a pinned tool, which tools/install.sh builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", ".cache", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const hint = "%s is not built; run: tools/install.sh %s"
	if os.Getenv(requireEnv) == "1" {
		t.Fatalf(hint, name, name)
	}
	t.Skipf(hint, name, name)
	return ""
}

// build compiles a command of this module.
func build(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(pkg))
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// logBuffer collects what a process writes, for a test that fails.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start runs the binary of a service, alone in a registry, until the test ends.
func start(t *testing.T, binary string, env ...string) discovery.Instance {
	t.Helper()
	return startIn(t, t.TempDir(), binary, env...)
}

// startIn runs the binary of a service, which is called as it is, on ports of its
// own choice until the test ends, and returns where it listens. The service has
// to drain and exit with 0.
func startIn(t *testing.T, registry, binary string, env ...string) discovery.Instance {
	t.Helper()
	data, log := t.TempDir(), &logBuffer{}
	cmd := exec.Command(binary)
	cmd.Dir = data
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(environment(),
		"KEELSON_GRPC__ADDRESS=127.0.0.1:0", "KEELSON_OPS__ADDRESS=127.0.0.1:0", "KEELSON_DEBUG__ADDRESS=off",
		"KEELSON_DISCOVERY__DRIVER=file", "KEELSON_DISCOVERY__FILE__DIR="+registry, "KEELSON_DRAIN__PROPAGATION=1s")
	cmd.Env = append(cmd.Env, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		stop(t, cmd, ended)
		if t.Failed() {
			t.Logf("the service's log:\n%s", log)
		}
	})
	return await(t, registry, filepath.Base(binary), ended)
}

// environment is that of this process without what is meant for tests: a service
// refuses to start with a KEELSON_ variable that is no setting of its own.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KEELSON_") })
}

// await returns the instance of a service once it stands in the registry, which
// it enters when it serves.
func await(t *testing.T, registry, service string, ended chan error) discovery.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("the service ended at its start: %v", err)
		case <-ctx.Done():
			t.Fatalf("the service did not register within %s", startTimeout)
		case <-tick.C:
		}
		list, err := file.List(registry)
		if i := slices.IndexFunc(list, func(in discovery.Instance) bool { return in.Service == service }); err == nil && i >= 0 {
			return list[i]
		}
	}
}

func stop(t *testing.T, cmd *exec.Cmd, ended <-chan error) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop the service: %v", err)
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the service did not drain in order: %v", err)
		}
	case <-timer.C:
		t.Errorf("the service did not end within %s", drainTimeout)
		_ = cmd.Process.Kill()
		<-ended
	}
}
