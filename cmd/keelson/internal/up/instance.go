package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

const (
	// minBackoff and maxBackoff bound the pause before a crashed instance is
	// started again; it doubles each time.
	minBackoff = 250 * time.Millisecond
	maxBackoff = 10 * time.Second
	// steady is how long an instance has to serve for its crashes to be
	// forgotten.
	steady = 30 * time.Second
)

// instance keeps one of a service's processes running. It is owned by the
// goroutine of run.
type instance struct {
	platform   *platform
	service    *Service
	number     int // from 1, within the service
	color      int
	generation int // counts the replacements by --watch
	crashes    int // since it was last steady
	replace    chan chan error
	edge       string // where its edge listened last
	asked      string // where its edge was last told to listen, if that was free
}

// id is the instance's name in the registry. A replacement has one of its own,
// because for a moment both are registered.
func (i *instance) id() string {
	if i.generation == 0 {
		return fmt.Sprintf("%s-%d", i.service.Name, i.number)
	}
	return fmt.Sprintf("%s-%d.%d", i.service.Name, i.number, i.generation+1)
}

// running is a process that is ready, and how it is registered.
type running struct {
	*process
	in discovery.Instance
}

// run keeps the instance alive until the context ends, and then drains it. The
// outcome of the first start is sent to started; a failed one is not repeated.
func (i *instance) run(ctx context.Context, started chan<- error) {
	r, err := i.launch(ctx)
	if errors.Is(err, errEnded) && i.lostEdge() { // since it was looked at, to another up perhaps
		r, err = i.launch(ctx)
	}
	started <- err
	if err != nil {
		i.set(Stopped, nil)
		return
	}
	for {
		select {
		case <-ctx.Done():
			i.drain(r)
			i.set(Stopped, nil)
			return
		case <-r.done:
			if r = i.revive(ctx, r); r == nil {
				i.set(Stopped, nil)
				return
			}
		case reply := <-i.replace:
			r, err = i.roll(ctx, r)
			reply <- err
		}
	}
}

// set tells the table where the instance stands.
func (i *instance) set(s State, r *running) {
	row := Row{Service: i.service.Name, Instance: i.id(), State: s}
	if r != nil {
		row.PID, row.GRPC, row.Ops, row.Edge = r.pid, r.in.Address, r.in.OpsAddress, r.in.Meta["edge_address"]
	}
	i.platform.set(i, row)
}

// launch starts a process and waits until it is ready.
func (i *instance) launch(ctx context.Context) (*running, error) {
	p, err := i.start()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", i.id(), err)
	}
	i.set(Starting, &running{process: p})
	f := i.platform.file
	ready, cancel := context.WithTimeoutCause(ctx, f.StartTimeout, fmt.Errorf("it was not healthy within %s (start_timeout)", f.StartTimeout))
	defer cancel()
	in, err := awaitReady(ready, i.platform.ws.Registry(), i.service.Name, i.id(), p)
	if err == nil {
		r := &running{process: p, in: in}
		i.edge = in.Meta["edge_address"]
		i.set(Serving, r)
		return r, nil
	}
	other := i.otherName(p.pid)
	if !errors.Is(err, errEnded) {
		_ = p.stop(context.Background(), f.DrainTimeout) // it is not serving: nothing is lost by killing it
	} else {
		err = fmt.Errorf("%s %w", p.ending(), errEnded)
	}
	i.platform.sweep()
	return nil, fmt.Errorf("start %s (PID %d): %w%s", i.id(), p.pid, err, other)
}

// otherName says that a process is registered, but not as the file says.
func (i *instance) otherName(pid int) string {
	list, err := file.List(i.platform.ws.Registry())
	if err != nil {
		return ""
	}
	for _, in := range list {
		if in.PID == pid && in.Service != i.service.Name {
			return fmt.Sprintf("; it registered itself as %s: give the service that name in %s", in.Service, i.platform.opts.File)
		}
	}
	return ""
}

// start starts the process.
func (i *instance) start() (*process, error) {
	pf := i.platform
	cmd := exec.Command(pf.build.program(i.service), i.service.Args...) //nolint:gosec // it was built here
	cmd.Dir = pf.ws.Root
	cmd.Env = pf.file.environment(pf.environ, i.service, i.id(), pf.ws.Registry())
	if given := func(v string) bool { return strings.HasPrefix(v, edgeVariable+"=") }; i.service.Edge != "" && !slices.ContainsFunc(cmd.Env, given) {
		cmd.Env = append(cmd.Env, edgeVariable+"="+i.edgeAddress())
	}
	lines := newLineWriter(i.service.Name, i.id(), i.color, pf.width, pf.color, pf.out.line)
	cmd.Stdout, cmd.Stderr = lines, lines // the same writer: exec copies with one goroutine
	p, err := pf.spawn.start(cmd)
	if err != nil {
		return nil, err
	}
	pf.flushed.Go(func() { <-p.done; lines.flush() })
	return p, nil
}

// edgeVariable is the setting of a service for where its edge listens. Whoever
// sets it means that address and no other.
const edgeVariable = "KEELSON_EDGE__ADDRESS"

// edgeAddress is where the edge is to listen: where it did before, else where the
// platform file says, else on a port that the system chooses.
func (i *instance) edgeAddress() string {
	want := cmp.Or(i.edge, i.service.Edge)
	i.asked = ""
	err := canListen(want)
	if err == nil {
		i.asked = want
		return want
	}
	reason := err.Error()
	if errors.Is(err, syscall.EADDRINUSE) {
		reason = "another process does"
	}
	host, _, _ := net.SplitHostPort(want) // the file has been checked
	i.platform.warn(fmt.Sprintf("%s cannot listen on %s (%s); it takes another port", i.id(), want, reason))
	return net.JoinHostPort(host, "0")
}

// lostEdge reports whether the address that its edge was told was free then and
// is taken now.
func (i *instance) lostEdge() bool { return i.asked != "" && canListen(i.asked) != nil }

// canListen says why nothing can listen on an address; nil when it can.
func canListen(address string) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	return l.Close() // it was never used
}

// revive starts a crashed instance again, after a pause that grows; nil when
// the context ended first, or when all were killed. A replacement that is asked for meanwhile is the
// same thing without the pause.
func (i *instance) revive(ctx context.Context, was *running) *running {
	i.platform.sweep()
	if time.Since(was.started) > steady {
		i.crashes = 0
	}
	reason := fmt.Sprintf("%s (PID %d) %s after %s", i.id(), was.pid, was.ending(), time.Since(was.started).Round(100*time.Millisecond))
	var reply chan error
	for !i.platform.spawn.killed() {
		pause := backoff(i.crashes)
		i.crashes++
		i.set(Waiting, nil)
		i.platform.restarted(i)
		i.platform.warn(fmt.Sprintf("%s; starting it again in %s", reason, pause.Round(10*time.Millisecond)))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		case reply = <-i.replace:
		}
		r, err := i.launch(ctx)
		if reply != nil {
			reply <- err
			reply = nil
		}
		if err == nil {
			i.platform.showRow(i)
			return r
		}
		if ctx.Err() != nil {
			return nil
		}
		reason = err.Error()
	}
	return nil
}

// backoff is the pause before the n-th restart in a row, with a fifth of jitter
// either way so that instances that fell together do not rise together.
func backoff(n int) time.Duration {
	d := maxBackoff
	if n < 6 {
		d = min(minBackoff<<n, maxBackoff)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64())) //nolint:gosec // not a secret
}

// roll puts a new process in the place of an old one: the new one takes calls
// before the old one drains, so that no call fails. If the new one does not
// become healthy the old one stays.
func (i *instance) roll(ctx context.Context, old *running) (*running, error) {
	i.generation++
	r, err := i.launch(ctx)
	if err != nil {
		i.generation--
		i.set(Serving, old)
		return old, err
	}
	if err := old.stop(context.Background(), i.platform.file.DrainTimeout); err != nil {
		i.platform.warn(fmt.Sprintf("%s (PID %d): %s", old.in.ID, old.pid, err))
		i.platform.sweep()
	}
	i.platform.showRow(i)
	return r, nil
}

// drain ends the instance in order, or with force when its time is up.
func (i *instance) drain(r *running) {
	i.set(Draining, r)
	if err := r.stop(context.Background(), i.platform.file.DrainTimeout); err != nil {
		i.platform.warn(fmt.Sprintf("%s (PID %d): %s", i.id(), r.pid, err))
	} else if r.err != nil {
		i.platform.warn(fmt.Sprintf("%s (PID %d) %s while it drained", i.id(), r.pid, r.ending()))
	}
	i.platform.sweep()
}

// sweep removes what dead processes left in the registry.
func (p *platform) sweep() {
	if _, err := file.Sweep(p.ws.Registry()); err != nil {
		p.warn(err.Error())
	}
}
