package up

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// pipeGrace is how long the output of an ended process is still read, in case
// that a process it left behind holds the pipe.
const pipeGrace = 2 * time.Second

// spawner starts processes from one OS thread that lives as long as it does.
// Linux sends a parent-death signal when the starting thread ends, not the
// process: started from an ordinary goroutine, instances would die at random.
type spawner struct {
	requests chan func()
	done     chan struct{}

	mu    sync.Mutex
	live  map[*process]struct{}
	ended bool // by killAll: nothing is started any more
}

// errKilled is why nothing is started any more.
var errKilled = errors.New("everything was killed")

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), done: make(chan struct{}), live: map[*process]struct{}{}}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.requests {
			f()
		}
	}()
	return s
}

// close ends the thread; processes that it started die with it (on Linux).
func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// process is a started process, and its group.
type process struct {
	cmd     *exec.Cmd
	pid     int
	started time.Time
	done    chan struct{} // closed when it was waited for
	err     error         // how it ended; read after done
}

// start starts a command in a group of its own.
func (s *spawner) start(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = attributes()
	cmd.WaitDelay = pipeGrace
	s.mu.Lock() // killAll sees the process, or the process is not started
	defer s.mu.Unlock()
	if s.ended {
		return nil, errKilled
	}
	started := make(chan error, 1)
	s.requests <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, started: time.Now(), done: make(chan struct{})}
	s.live[p] = struct{}{}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
		p.signal(syscall.SIGKILL) // what it left behind in its group
		s.mu.Lock()
		delete(s.live, p)
		s.mu.Unlock()
	}()
	return p, nil
}

// killAll kills every process that is still there, at once and for good.
func (s *spawner) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for p := range s.live {
		p.signal(syscall.SIGKILL)
	}
}

// killed reports whether killAll was called.
func (s *spawner) killed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// signal sends a signal to the whole group; a group that is gone is fine.
func (p *process) signal(sig syscall.Signal) { _ = syscall.Kill(-p.pid, sig) }

// stop asks the process to end and waits for it. After the budget, or when the
// context ends, it is killed, and the error says so.
func (p *process) stop(ctx context.Context, budget time.Duration) error {
	p.signal(syscall.SIGTERM)
	timer := time.NewTimer(budget)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	return fmt.Errorf("it did not end within %s of SIGTERM and was killed", budget)
}

// within waits for the process to end by itself, which is killed when the
// context ends first.
func (p *process) within(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.signal(syscall.SIGKILL)
		<-p.done
		return context.Cause(ctx)
	}
}

// ending says in words how a process ended.
func (p *process) ending() string {
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return "ended with status 0"
	case errors.As(p.err, &exit):
		if w, ok := exit.Sys().(syscall.WaitStatus); ok && w.Signaled() {
			return fmt.Sprintf("was ended by signal %d (%s)", w.Signal(), w.Signal())
		}
		return fmt.Sprintf("ended with status %d", exit.ExitCode())
	default:
		return "ended: " + p.err.Error()
	}
}
