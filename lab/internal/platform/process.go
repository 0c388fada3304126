package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// spawner starts processes from one OS thread that lives as long as it does:
// Linux sends the parent-death signal when the starting thread ends.
type spawner struct {
	requests chan func()
	done     chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{requests: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.requests {
			f()
		}
	}()
	return s
}

func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// Process is a program that the lab has started, in a group of its own.
type Process struct {
	// Name is what the process is called in messages.
	Name string
	// PID is its process ID.
	PID int
	// Log is the file with what it wrote; empty when that went elsewhere.
	Log string

	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; read after done
}

// start starts a command whose output goes to a log file in dir, unless the
// command has outputs already.
func (s *spawner) start(name, dir string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, done: make(chan struct{})}
	if cmd.Stdout == nil {
		p.Log = filepath.Join(dir, name+".log")
		out, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		defer out.Close()
		cmd.Stdout, cmd.Stderr = out, out
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid, cmd.SysProcAttr.Pdeathsig = true, syscall.SIGKILL
	started := make(chan error, 1)
	s.requests <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.PID = cmd.Process.Pid
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal to the process and what it has started; one that has
// ended already is fine.
func (p *Process) Signal(sig syscall.Signal) { _ = syscall.Kill(-p.PID, sig) }

// Kill ends the process as a crash of its host would, and waits for its end.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and waits for it; after the budget it kills it
// and reports that.
func (p *Process) Stop(budget time.Duration) error {
	p.Signal(syscall.SIGTERM)
	timer := time.NewTimer(budget)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("%s (PID %d) did not end within %s of SIGTERM and was killed; its log is %s", p.Name, p.PID, budget, p.Log)
	}
}

// CPU is the processor time that the threads of the process have used, to the
// nanosecond. Threads that have ended do not count; Go's seldom do.
func (p *Process) CPU() (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID))
	if err != nil || len(tasks) == 0 {
		return 0, errors.Join(err, fmt.Errorf("read the processor time of %s: it has no threads; has it ended?", p.Name))
	}
	var total time.Duration
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		var spent int64
		if _, err := fmt.Sscan(string(text), &spent); err != nil {
			return 0, fmt.Errorf("read %s: %w", name, err)
		}
		total += time.Duration(spent)
	}
	return total, nil
}

// Memory is the resident memory of the process in bytes.
func (p *Process) Memory() (int64, error) {
	fields, err := p.stat()
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseInt(fields[21], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// stat returns the fields of /proc/PID/stat from the third on, the state.
func (p *Process) stat() ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 22 {
		return nil, fmt.Errorf("read /proc/%d/stat: %d fields", p.PID, len(fields))
	}
	return fields, nil
}

// tail is the end of the log, for messages.
func (p *Process) tail() string {
	f, err := os.Open(p.Log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, end-4096), io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return string(text)
}

// children returns the processes that a process has started.
func children(pid int) []int {
	var found []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		text, _ := os.ReadFile(name)
		for _, f := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(f); err == nil {
				found = append(found, child)
			}
		}
	}
	return found
}

// Build builds a program of the module at root and returns its file. Sources
// that did not change cost a second.
func Build(root, pkg string) (string, error) {
	out := filepath.Join(root, ".cache", "lab", strings.ReplaceAll(strings.Trim(pkg, "./"), "/", "-"))
	dir := root
	if rest, ok := strings.CutPrefix(pkg, "lab/"); ok {
		dir, pkg = filepath.Join(root, "lab"), rest
	}
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", out, "./"+pkg) //nolint:gosec // our own package
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}

// group runs functions at once and joins their errors.
func group(fs ...func() error) error {
	errs := make([]error, len(fs))
	var wg sync.WaitGroup
	for i, f := range fs {
		wg.Go(func() { errs[i] = f() })
	}
	wg.Wait()
	return errors.Join(errs...)
}
