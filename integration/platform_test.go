// Package integration_test runs the real programs as processes and treats them
// as their users, and their platforms, do.
package integration_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

// platform is a registry directory, a data directory and the instances of the
// user service that share them.
type platform struct {
	t   *testing.T
	dir string
}

func newPlatform(t *testing.T) *platform {
	t.Helper()
	return &platform{t: t, dir: t.TempDir()}
}

func (p *platform) registry() string { return filepath.Join(p.dir, "discovery") }

// instance is one process of the user service.
type instance struct {
	discovery.Instance
	cmd  *exec.Cmd
	log  *bytes.Buffer
	done chan struct{}
}

// start starts an instance and waits until it is registered.
func (p *platform) start(id string, env ...string) *instance {
	p.t.Helper()
	log := &bytes.Buffer{}
	i := p.startTo(id, log, env...)
	i.log = log
	return i
}

// startTo starts an instance that writes its log to a writer, directly when
// that is a file.
func (p *platform) startTo(id string, log io.Writer, env ...string) *instance {
	p.t.Helper()
	return p.startProgram("services/user/cmd/user", id, log, env...)
}

// startProgram is startTo for an instance of any service.
func (p *platform) startProgram(program, id string, log io.Writer, env ...string) *instance {
	p.t.Helper()
	i := &instance{cmd: exec.Command(binary(p.t, program)), log: &bytes.Buffer{}, done: make(chan struct{})} //nolint:gosec // built here
	i.cmd.Dir = p.dir
	i.cmd.Stdout, i.cmd.Stderr = log, log
	i.cmd.Env = append(os.Environ(),
		"KEELSON_INSTANCE_ID="+id, "KEELSON_LOG__FORMAT=json", "KEELSON_LOG__LEVEL=warn",
		"KEELSON_GRPC__ADDRESS=127.0.0.1:0", "KEELSON_OPS__ADDRESS=127.0.0.1:0", "KEELSON_DEBUG__ADDRESS=off",
		"KEELSON_DISCOVERY__DRIVER=file", "KEELSON_DISCOVERY__FILE__DIR="+p.registry(), "KEELSON_DRAIN__QUIET=100ms")
	i.cmd.Env = append(i.cmd.Env, env...)
	if err := i.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { defer close(i.done); _ = i.cmd.Wait() }()
	p.t.Cleanup(func() { i.end(p.t) })
	p.wait("instance "+id+" to register", func() bool {
		list, _ := file.List(p.registry())
		for _, in := range list {
			if in.ID == id && in.PID == i.cmd.Process.Pid {
				i.Instance = in
				return true
			}
		}
		select {
		case <-i.done:
			p.t.Fatalf("instance %s ended:\n%s", id, log)
		default:
		}
		return false
	})
	return i
}

// kill ends an instance as a crash of its host would.
func (i *instance) kill() {
	_ = i.cmd.Process.Signal(syscall.SIGKILL)
	<-i.done
}

// end drains an instance that still runs.
func (i *instance) end(t *testing.T) {
	select {
	case <-i.done:
		return
	default:
	}
	_ = i.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-i.done:
	case <-time.After(time.Minute):
		i.kill()
		t.Errorf("instance %s did not drain within a minute:\n%s", i.ID, i.log)
	}
}

// client makes a client of the platform's registry.
func (p *platform) client() *keelson.Client {
	p.t.Helper()
	return p.clientOf(keelson.Config{})
}

// clientOf makes one with a configuration.
func (p *platform) clientOf(cfg keelson.Config) *keelson.Client {
	p.t.Helper()
	cfg.Discovery.Driver, cfg.Discovery.File.Dir = "file", p.registry()
	cfg.Log.Level = "error"
	c, err := keelson.NewClient("integration", cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// command prepares a run of the keelson command in the platform's directory.
func (p *platform) command(args ...string) *exec.Cmd {
	c := exec.Command(binary(p.t, "cmd/keelson"), args...) //nolint:gosec // built here
	c.Dir = p.dir
	c.Env = append(os.Environ(), "KEELSON_DISCOVERY__FILE__DIR="+p.registry())
	return c
}

// patience is how long a test waits for what must come; only a failing one does.
const patience = 3 * time.Minute

// wait waits, bounded, until something is so.
func (p *platform) wait(what string, so func() bool) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !so() {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("waited %s for %s", patience, what)
		}
	}
}

// binaries is where the programs are built, once for all tests.
var binaries string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if binaries, err = os.MkdirTemp("", "keelson-integration"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(binaries)
		code := m.Run()
		http.DefaultClient.CloseIdleConnections()
		if err := postgres.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// binary builds a program of the module, unless it is built.
func binary(t *testing.T, pkg string) string {
	t.Helper()
	out := filepath.Join(binaries, filepath.Base(pkg))
	if _, err := os.Stat(out); err == nil {
		return out
	}
	build := exec.Command("go", "build", "-o", out, "../"+pkg) //nolint:gosec // our own package
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, text)
	}
	return out
}

// size is a count that the environment can raise for a full run.
func size(t *testing.T, variable string, small int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return small
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; want a count", variable, text)
	}
	return n
}
