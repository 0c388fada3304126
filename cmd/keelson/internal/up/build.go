package up

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// builder builds the services' programs with the Go toolchain.
type builder struct {
	spawn *spawner
	out   *output
	root  string // where packages are relative to
	bin   string
}

// program is where the program of a service is.
func (b *builder) program(s *Service) string { return filepath.Join(b.bin, s.Name) }

// build builds one service into a file beside its program, and puts that in
// its place: instances that run keep the file they were started from. It
// reports whether the program has changed.
func (b *builder) build(ctx context.Context, s *Service) (changed bool, err error) {
	label := "building " + s.Name
	old, statErr := os.ReadFile(b.program(s))
	if statErr != nil {
		label += " (the first build downloads modules and takes a minute or two)"
	}
	work := b.out.begin(label)
	next := b.program(s) + ".next"
	_, said, err := b.run(ctx, work, "build", "-o", next, s.Package)
	if err != nil {
		work.end("")
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		err = fmt.Errorf("build %s from %s: %w", s.Name, s.Package, err)
		if said = strings.TrimSpace(said); said != "" {
			b.out.note(said)
			err = fmt.Errorf("%w; what the Go toolchain says is above", err)
		}
		return false, err
	}
	built, err := os.ReadFile(next)
	if err != nil {
		work.end("")
		return false, fmt.Errorf("build %s: %s is no main package, or nothing was written: %w", s.Name, s.Package, err)
	}
	work.end(fmt.Sprintf("built %s in %s", s.Name, work.elapsed()))
	return !bytes.Equal(old, built), os.Rename(next, b.program(s))
}

// run runs the Go toolchain and returns what it wrote to its two outputs. The
// context's end kills it with everything it has started.
func (b *builder) run(ctx context.Context, work *work, args ...string) (answer, said string, err error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return "", "", fmt.Errorf("find the Go toolchain: %w; install Go from https://go.dev/dl", err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(tool, args...) //nolint:gosec // the toolchain, with a package of the platform file
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.root, &stdout, &lastLine{work: work, to: &stderr}
	p, err := b.spawn.start(cmd)
	if err != nil {
		return "", "", err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.signal(syscall.SIGKILL)
		<-p.done
		return "", stderr.String(), context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return "", stderr.String(), fmt.Errorf("go %s ended with status %d", args[0], exit.ExitCode())
	}
	return stdout.String(), stderr.String(), p.err
}

// lastLine keeps what the toolchain says, and shows the last line of it.
type lastLine struct {
	work *work
	to   *bytes.Buffer
}

func (l *lastLine) Write(p []byte) (int, error) {
	if text := strings.TrimSpace(string(p)); l.work != nil && strings.HasPrefix(text, "go: downloading ") {
		l.work.detail(text[strings.LastIndexByte(text, '\n')+1:])
	}
	return l.to.Write(p)
}

// work is something that takes a while: a status line with the time on a
// terminal, a line at the beginning elsewhere.
type work struct {
	out    *output
	begun  time.Time
	detail func(string)
	quit   chan struct{}
	done   chan struct{}
}

var frames = []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

func (o *output) begin(label string) *work {
	more := make(chan string, 1)
	w := &work{out: o, begun: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	w.detail = func(s string) {
		select {
		case more <- s:
		default:
		}
	}
	if !o.terminal {
		o.note(label + " ...")
		close(w.done)
		return w
	}
	go func() {
		defer close(w.done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		detail := ""
		for i := 0; ; i++ {
			o.show(fmt.Sprintf("%c %s  %s %s", frames[i%len(frames)], label, w.elapsed(), detail))
			select {
			case detail = <-more:
			case <-tick.C:
			case <-w.quit:
				o.show("")
				return
			}
		}
	}()
	return w
}

// elapsed is the time since the beginning, for people.
func (w *work) elapsed() string { return fmt.Sprintf("%.1fs", time.Since(w.begun).Seconds()) }

// end removes the status line and says how it went.
func (w *work) end(text string) {
	close(w.quit)
	<-w.done
	if text != "" {
		w.out.note(text)
	}
}
