// Package postgrestest gives tests a real PostgreSQL server of their own.
//
// The server is started by the first test that asks for a database, from the
// binaries found on the machine, in a temporary directory, on a free port of
// the loopback interface, with fsync on. It is stopped by its process ID when
// the test binary ends. Without binaries the test is skipped and says so,
// unless KEELSONTEST_REQUIRE_SERVERS=1 makes that a failure.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/internal/testservers/port"
)

// RequireEnv is the environment variable that, set to 1, turns a missing
// PostgreSQL from a skipped test into a failed one. CI sets it.
const RequireEnv = "KEELSONTEST_REQUIRE_SERVERS"

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 20 * time.Second
)

// errMissing says that the machine has no PostgreSQL.
var errMissing = errors.New("PostgreSQL not found: no initdb in PATH or /usr/lib/postgresql/*/bin; install it with: apt-get install postgresql")

// Server is one PostgreSQL server, shared by the tests of a test binary. The
// zero value is ready: keep one in a package variable of the tests and Stop
// it in TestMain. It is safe for concurrent use.
type Server struct {
	mu   sync.Mutex
	proc *process
	err  error
}

// Database creates an empty database for one test, drops it when the test
// ends, and returns its connection string. It starts the server if need be.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	p, err := s.start()
	if errors.Is(err, errMissing) && os.Getenv(RequireEnv) != "1" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	name := "t" + strings.ToLower(rand.Text())
	if err := p.admin("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := p.admin("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			tb.Errorf("drop the database of the test: %v", err)
		}
	})
	return p.dsn(name)
}

// Restart kills the server without warning (as kill -9 of its main process
// does) and starts it again on the same data and port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		tb.Fatal("restart PostgreSQL: it was not started")
	}
	if err := s.proc.signal(syscall.SIGQUIT); err != nil { // immediate shutdown: recovery on start
		tb.Fatal(err)
	}
	if err := s.proc.run(); err != nil {
		tb.Fatal(err)
	}
}

// Stop ends the server and removes its data. It does nothing if no test asked
// for a database.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	err := s.proc.signal(syscall.SIGINT) // fast shutdown
	err = errors.Join(err, os.RemoveAll(s.proc.dir))
	s.proc = nil
	return err
}

func (s *Server) start() (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil && s.err == nil {
		s.proc, s.err = launch()
	}
	return s.proc, s.err
}

// process is a server's directory and its operating system process.
type process struct {
	bin, dir, password string
	port               *port.Held // as long as the test binary runs
	as                 *syscall.SysProcAttr
	cmd                *exec.Cmd
	done               chan struct{} // closed when cmd has ended
}

func launch() (*process, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	p := &process{bin: bin, password: rand.Text()}
	if p.dir, err = os.MkdirTemp("", "keelson-postgres-"); err != nil {
		return nil, err
	}
	if err := errors.Join(p.account(), p.initdb()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.dir))
	}
	if p.port, err = port.Hold(); err == nil {
		if err = p.run(); err == nil {
			return p, nil
		}
		p.port.Release()
	}
	return nil, errors.Join(err, os.RemoveAll(p.dir))
}

// binaries returns the directory with initdb and postgres.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errMissing
	}
	return filepath.Dir(found[len(found)-1]), nil
}

// account makes the server run as the user postgres when this process is
// root, which PostgreSQL refuses to be.
func (p *process) account() error {
	p.as = diesWithParent()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return fmt.Errorf("find a user to run PostgreSQL as: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	p.as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, int(uid), int(gid))
}

func (p *process) initdb() error {
	pwfile := filepath.Join(p.dir, "password")
	if err := os.WriteFile(pwfile, []byte(p.password), 0o600); err != nil {
		return err
	}
	if c := p.as.Credential; c != nil {
		if err := os.Chown(pwfile, int(c.Uid), int(c.Gid)); err != nil {
			return err
		}
	}
	cmd := p.command("initdb", "-D", filepath.Join(p.dir, "data"), "-A", "scram-sha-256",
		"--pwfile", pwfile, "-U", "app", "-E", "UTF8", "--locale=C", "--no-sync")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("run initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *process) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = p.as
	return cmd
}

// run starts the server and returns when it takes connections.
func (p *process) run() error {
	logfile, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return err
	}
	defer logfile.Close()
	p.cmd = p.command("postgres", "-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port.Number),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+p.dir,
		"-c", "fsync=on", "-c", "max_connections=200", "-c", "shared_buffers=128MB")
	p.cmd.Stdout, p.cmd.Stderr = logfile, logfile
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log
	}(p.cmd, p.done)
	return p.ready()
}

func (p *process) ready() error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for {
		err := p.admin("SELECT 1")
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.done:
			out, _ := os.ReadFile(filepath.Join(p.dir, "log"))
			return fmt.Errorf("start PostgreSQL: it ended at once:\n%s", out)
		case <-deadline:
			return errors.Join(fmt.Errorf("start PostgreSQL: not ready after %s: %w", startTimeout, err), p.signal(syscall.SIGQUIT))
		}
	}
}

// signal sends a signal to the server and waits for its end.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("stop PostgreSQL: still there after %s, killing it", stopTimeout), p.cmd.Process.Kill())
	}
}

func (p *process) dsn(database string) string {
	return fmt.Sprintf("postgres://app:%s@127.0.0.1:%d/%s?sslmode=disable", p.password, p.port.Number, database)
}

// admin runs one statement outside of any test's database.
func (p *process) admin(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.dsn("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}
