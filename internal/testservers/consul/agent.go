// Package consultest starts real Consul agents, for tests and for the lab.
//
// An [Agent] is a server of its own with a data directory and free ports on the loopback interface. It can be killed, paused, and started
// again on the same ports, with what it knew or empty. [StartCluster] starts several that elect a leader. The binary is what
// `tools/install.sh consul` builds, or a consul in PATH. In a test, [Run] skips without it and says so, unless
// KEELSONTEST_REQUIRE_SERVERS=1 makes that a failure.
package consultest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	killTimeout  = 20 * time.Second
	lookEvery    = 20 * time.Millisecond
)

// ErrMissing says that there is no Consul on this machine.
var ErrMissing = errors.New("consul not found in .cache/bin or PATH; build it with: tools/install.sh consul")

// Config is what can be set about an agent. The zero value works.
type Config struct {
	// Binary is the program. Default: the one that [Binary] finds.
	Binary string
	// Dir is where data and log are kept; it must exist. Default: a temporary directory that Close removes.
	Dir string
	// HCL is added to the agent's configuration.
	HCL string
}

// Agent is one Consul agent, a server. Its methods are not safe for concurrent use, except those that only tell.
type Agent struct {
	cfg   Config
	dir   string
	own   bool // the directory is ours to remove
	name  string
	ports ports
	join  []string // what makes it one of several
	size  int

	// One goroutine waits for all processes that the agent ever is, from the first start to Close.
	procs chan *process
	over  sync.WaitGroup

	mu   sync.Mutex
	proc *process // nil while there is none
}

// process is one run of an agent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// Start starts an agent and returns when it has a leader, that is itself. The caller closes it. ctx bounds the start only.
func Start(ctx context.Context, cfg Config) (*Agent, error) {
	var err error
	for range 3 { // another process may take a port in between
		var a *Agent
		if a, err = prepare(cfg, "n1", 1); err != nil {
			return nil, err
		}
		if err = errors.Join(a.start(), a.ready(ctx)); err == nil {
			return a, nil
		}
		err = errors.Join(err, a.Close())
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// prepare chooses everything that stays the same when the agent is started again.
func prepare(cfg Config, name string, size int) (*Agent, error) {
	var err error
	if cfg.Binary == "" {
		if cfg.Binary, err = Binary(); err != nil {
			return nil, err
		}
	}
	a := &Agent{cfg: cfg, dir: cfg.Dir, name: name, size: size, procs: make(chan *process)}
	procs := a.procs
	a.over.Go(func() { reap(procs) })
	if a.dir == "" {
		a.own = true
		if a.dir, err = os.MkdirTemp("", "keelson-consul-"); err != nil {
			return nil, errors.Join(err, a.Close())
		}
	}
	if a.ports, err = holdPorts(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// Binary finds the program: in .cache/bin of the directory or one above it, or in PATH. The error wraps ErrMissing.
func Binary() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find consul: %w", err)
	}
	for {
		path := filepath.Join(dir, ".cache", "bin", "consul")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	path, err := exec.LookPath("consul")
	if err != nil {
		return "", fmt.Errorf("%w (%w)", ErrMissing, err)
	}
	return path, nil
}

// Address is host:port of the HTTP API; it stays the same over restarts.
func (a *Agent) Address() string { return a.ports.http.Address() }

// PID is the process, 0 while there is none.
func (a *Agent) PID() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proc == nil {
		return 0
	}
	return a.proc.cmd.Process.Pid
}

// Kill ends the agent as kill -9 does, and returns when it is gone. It does nothing when there is none.
func (a *Agent) Kill() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proc == nil {
		return nil
	}
	if err := a.proc.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill Consul: %w", err)
	}
	select {
	case <-a.proc.done:
		a.proc = nil
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("kill Consul: process %d is still there after %s", a.proc.cmd.Process.Pid, killTimeout)
	}
}

// Pause stops the agent's process as SIGSTOP does: its connections stay and nothing answers. Resume lets it go on.
func (a *Agent) Pause() error { return a.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (a *Agent) Resume() error { return a.signal(syscall.SIGCONT) }

func (a *Agent) signal(sig syscall.Signal) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proc == nil {
		return errors.New("signal Consul: it is not running")
	}
	if err := a.proc.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signal Consul: %w", err)
	}
	return nil
}

// Restart starts the agent again with what it knew, after killing it if need be, and returns when there is a leader.
func (a *Agent) Restart(ctx context.Context) error {
	return errors.Join(a.Begin(), a.ready(ctx))
}

// RestartEmpty is Restart with nothing left of what the agent knew.
func (a *Agent) RestartEmpty(ctx context.Context) error {
	if err := errors.Join(a.Kill(), os.RemoveAll(a.data())); err != nil {
		return err
	}
	return a.Restart(ctx)
}

// Begin starts the agent again with what it knew, after killing it if need be, and waits for nothing.
func (a *Agent) Begin() error { return errors.Join(a.Kill(), a.start()) }

// Close kills the agent and removes its directory if it is a temporary one. Closing again does nothing.
func (a *Agent) Close() error {
	err := a.Kill()
	if err == nil && a.procs != nil {
		a.ports.release()
		close(a.procs)
		a.over.Wait()
		a.procs = nil
	}
	if a.own && a.dir != "" {
		err = errors.Join(err, os.RemoveAll(a.dir))
	}
	return err
}

// Log returns what the agent has written, over all its runs.
func (a *Agent) Log() string {
	b, err := os.ReadFile(a.logFile())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func (a *Agent) data() string    { return filepath.Join(a.dir, a.name) }
func (a *Agent) logFile() string { return filepath.Join(a.dir, a.name+".log") }

func (a *Agent) start() error {
	out, err := os.OpenFile(a.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("start Consul: %w", err)
	}
	defer out.Close()
	a.mu.Lock()
	defer a.mu.Unlock()
	cmd := exec.Command(a.cfg.Binary, a.arguments()...) //nolint:noctx // it outlives the call
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = a.dir, out, out, diesWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start Consul: %w", err)
	}
	a.proc = &process{cmd: cmd, done: make(chan struct{})}
	a.procs <- a.proc
	return nil
}

// reap waits for the processes, one after the other: the next one starts when the last one has ended.
func reap(procs <-chan *process) {
	for p := range procs {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.done)
	}
}

func (a *Agent) arguments() []string {
	args := []string{
		"agent", "-server", "-bootstrap-expect", strconv.Itoa(a.size), "-node", a.name, "-data-dir", a.data(),
		"-bind", "127.0.0.1", "-client", "127.0.0.1",
		"-http-port", strconv.Itoa(a.ports.http.Number), "-server-port", strconv.Itoa(a.ports.server.Number), "-serf-lan-port", strconv.Itoa(a.ports.serf.Number),
		"-serf-wan-port", "-1", "-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1", "-log-level", "warn",
		"-hcl", "performance { raft_multiplier = 1 }", "-hcl", "limits { http_max_conns_per_client = 10000 }", "-hcl", "disable_update_check = true",
	}
	for _, address := range a.join {
		args = append(args, "-retry-join", address, "-retry-interval", "1s")
	}
	if a.cfg.HCL != "" {
		args = append(args, "-hcl", a.cfg.HCL)
	}
	return args
}

// ready waits until the agent serves and answers a read that needs a leader.
func (a *Agent) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return a.until(ctx, "a leader", func() error { return a.get(ctx, "/v1/catalog/services?consistent", nil) })
}

// until calls ok until it returns nil, the process ends, or ctx does.
func (a *Agent) until(ctx context.Context, what string, ok func() error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	a.mu.Lock()
	p := a.proc
	a.mu.Unlock()
	if p == nil {
		return fmt.Errorf("wait for %s of Consul at %s: it does not run", what, a.Address())
	}
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			return fmt.Errorf("start Consul: it ended at once:\n%s", tail(a.Log()))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s of Consul at %s: %w (%w):\n%s", what, a.Address(), ctx.Err(), err, tail(a.Log()))
		}
	}
}

// tail is the end of a long text.
func tail(s string) string {
	const most = 4096
	if len(s) > most {
		s = s[len(s)-most:]
	}
	return strings.TrimSpace(s)
}
