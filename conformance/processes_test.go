package conformance_test

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
	startTimeout = 2 * time.Minute
	drainTimeout = time.Minute
	pollInterval = 20 * time.Millisecond
)

// build compiles a command.
func build(t *testing.T, dir, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
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

// start runs the binary of a service, which is called as it is, on ports of its own
// choice until the test ends, and returns it as it stands in the registry. The
// service has to drain and exit with 0.
func start(t *testing.T, registry, binary string, env ...string) discovery.Instance {
	t.Helper()
	log := &logBuffer{}
	cmd := exec.Command(binary)
	cmd.Dir = t.TempDir()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KEELSON_") })
	cmd.Env = append(cmd.Env,
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
			t.Logf("warnings and errors of %s:\n%s", filepath.Base(binary), unusual(log.String()))
		}
	})
	return await(t, registry, filepath.Base(binary), cmd.Process.Pid, ended)
}

// unusual returns the lines of a log that are no information.
func unusual(log string) string {
	var b strings.Builder
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"log.level":"info"`) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// await returns the instance of a process once it stands in the registry, which it
// enters when it serves.
func await(t *testing.T, registry, service string, pid int, ended chan error) discovery.Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended at its start: %v", service, err)
		case <-ctx.Done():
			t.Fatalf("%s did not register within %s", service, startTimeout)
		case <-tick.C:
		}
		list, err := file.List(registry)
		if i := slices.IndexFunc(list, func(in discovery.Instance) bool { return in.Service == service && in.PID == pid }); err == nil && i >= 0 {
			return list[i]
		}
	}
}

func stop(t *testing.T, cmd *exec.Cmd, ended <-chan error) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop %s: %v", cmd.Path, err)
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("%s did not drain in order: %v", cmd.Path, err)
		}
	case <-timer.C:
		t.Errorf("%s did not end within %s", cmd.Path, drainTimeout)
		_ = cmd.Process.Kill()
		<-ended
	}
}
