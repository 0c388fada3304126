// Package processtest gives tests the platform's own services as processes: it
// builds them, starts them on ports of their own choice in a registry of files, and
// checks that they drain when the test ends.
package processtest

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

// RequireEnv is the environment variable that, set to 1, turns a missing tool from a
// skipped test into a failed one. CI sets it.
const RequireEnv = "KEELSONTEST_REQUIRE_SERVERS"

// Bounds of waiting: beyond them something is stuck.
const (
	startTimeout = 2 * time.Minute
	drainTimeout = time.Minute
	pollInterval = 20 * time.Millisecond
)

// Tool returns the path of a tool that tools/install.sh of the tree at root builds.
// Without it the test is skipped and says so, see [RequireEnv].
func Tool(tb testing.TB, root, name string) string {
	tb.Helper()
	path, err := filepath.Abs(filepath.Join(root, ".cache", "bin", name))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	const hint = "%s is not built, and what needs it is not tested; build it: tools/install.sh %s"
	if os.Getenv(RequireEnv) == "1" {
		tb.Fatalf(hint, name, name)
	}
	tb.Skipf(hint, name, name)
	return ""
}

// Build compiles the command of a package, as it is called from a directory, and
// returns the binary, which has the name of the package's last element.
func Build(tb testing.TB, dir, pkg string) string {
	tb.Helper()
	binary := filepath.Join(tb.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-o", binary, pkg)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// Start runs the binary of a service, which is called as it is, until the test ends,
// and returns it as it stands in the registry, which it enters when it serves. The
// settings are KEELSON_ variables; those of this process are not passed on. The
// service has to drain and exit with 0. When the test fails its log is shown, but
// for what is only information.
func Start(tb testing.TB, registry, binary string, settings ...string) discovery.Instance {
	tb.Helper()
	log := &buffer{}
	cmd := exec.Command(binary)
	cmd.Dir = tb.TempDir()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KEELSON_") })
	cmd.Env = append(cmd.Env,
		"KEELSON_GRPC__ADDRESS=127.0.0.1:0", "KEELSON_OPS__ADDRESS=127.0.0.1:0", "KEELSON_DEBUG__ADDRESS=off",
		"KEELSON_DISCOVERY__DRIVER=file", "KEELSON_DISCOVERY__FILE__DIR="+registry, "KEELSON_DRAIN__PROPAGATION=1s")
	cmd.Env = append(cmd.Env, settings...)
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tb.Cleanup(func() {
		stop(tb, cmd, ended)
		if tb.Failed() {
			tb.Logf("warnings and errors of %s:\n%s", filepath.Base(binary), log.unusual())
		}
	})
	return await(tb, registry, filepath.Base(binary), cmd.Process.Pid, ended)
}

// await returns the instance of a process once it stands in the registry.
func await(tb testing.TB, registry, service string, pid int, ended chan error) discovery.Instance {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			ended <- err
			tb.Fatalf("%s ended at its start: %v", service, err)
		case <-ctx.Done():
			tb.Fatalf("%s did not register within %s", service, startTimeout)
		case <-tick.C:
		}
		list, err := file.List(registry)
		if i := slices.IndexFunc(list, func(in discovery.Instance) bool { return in.Service == service && in.PID == pid }); err == nil && i >= 0 {
			return list[i]
		}
	}
}

func stop(tb testing.TB, cmd *exec.Cmd, ended <-chan error) {
	tb.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Errorf("stop %s: %v", cmd.Path, err)
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case err := <-ended:
		if err != nil {
			tb.Errorf("%s did not drain in order: %v", cmd.Path, err)
		}
	case <-timer.C:
		tb.Errorf("%s did not end within %s", cmd.Path, drainTimeout)
		_ = cmd.Process.Kill()
		<-ended
	}
}

// buffer collects what a process writes.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// unusual returns the lines that are no information.
func (b *buffer) unusual() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var text strings.Builder
	for line := range strings.Lines(b.buf.String()) {
		if !strings.Contains(line, `"log.level":"info"`) {
			text.WriteString(line)
		}
	}
	return text.String()
}
