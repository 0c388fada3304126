// Package redistest gives tests a real Redis server of their own.
//
// The server is started from the binary found on the machine, in a temporary
// directory, on a free port of the loopback interface, and keeps nothing on disk.
// It is stopped by its process ID when the test ends. Without a binary the test is
// skipped and says so, unless KEELSONTEST_REQUIRE_SERVERS=1 makes that a failure.
package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/internal/testservers/port"
)

// RequireEnv is the environment variable that, set to 1, turns a missing Redis
// from a skipped test into a failed one. CI sets it.
const RequireEnv = "KEELSONTEST_REQUIRE_SERVERS"

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 10 * time.Second
)

// Server is one Redis server of one test. Its methods are for the test's own
// goroutine.
type Server struct {
	// Address is host:port; it stays the same over Kill and Start.
	Address string

	bin, dir string
	port     int
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended
}

// Start starts a server, which is stopped when the test ends.
func Start(tb testing.TB) *Server {
	tb.Helper()
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		missing := "Redis not found: no redis-server in PATH; install it with: apt-get install redis-server"
		if os.Getenv(RequireEnv) == "1" {
			tb.Fatal(missing)
		}
		tb.Skip(missing)
	}
	held, err := port.Hold()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(held.Release)
	s := &Server{bin: bin, dir: tb.TempDir(), port: held.Number, Address: held.Address()}
	if err := s.run(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Kill(tb) })
	return s
}

// Restart starts the server again after Kill, with an empty memory.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.run(); err != nil {
		tb.Fatal(err)
	}
}

// Kill ends the server as kill -9 does. It does nothing when it has ended.
func (s *Server) Kill(tb testing.TB) { s.signal(tb, syscall.SIGKILL, true) }

// Freeze stops the server's process: it keeps its connections, accepts more, and
// answers nothing. Thaw lets it go on.
func (s *Server) Freeze(tb testing.TB) { s.signal(tb, syscall.SIGSTOP, false) }

// Thaw lets a frozen server go on.
func (s *Server) Thaw(tb testing.TB) { s.signal(tb, syscall.SIGCONT, false) }

func (s *Server) signal(tb testing.TB, sig syscall.Signal, ends bool) {
	tb.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("signal Redis: %v", err)
	}
	if !ends {
		return
	}
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		tb.Errorf("Redis is still there after %s", stopTimeout)
	}
}

// run starts the server and returns when it answers.
func (s *Server) run() error {
	logfile, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer logfile.Close()
	s.cmd = exec.Command(s.bin, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir) //nolint:gosec // found above
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.SysProcAttr = logfile, logfile, diesWithParent()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // how it ended is in its log
	}(s.cmd, s.done)
	return s.ready()
}

func (s *Server) ready() error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTimeout)
	for {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-s.done:
			out, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("start Redis: it ended at once:\n%s", out)
		case <-deadline:
			return errors.Join(fmt.Errorf("start Redis: not ready after %s: %w", startTimeout, err), s.cmd.Process.Kill())
		}
	}
}

// ping asks the server whether it answers.
func (s *Server) ping() error {
	conn, err := net.DialTimeout("tcp", s.Address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "+PONG") {
		return fmt.Errorf("it answers PING with %q: %w", line, errors.Join(err, fs.ErrInvalid))
	}
	return nil
}
