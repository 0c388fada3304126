package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
)

// Options say what to run, and where to write.
type Options struct {
	// File is the platform file; empty: keelson.yaml in the current directory.
	File string
	// Instances replaces the number of instances of every service; 0: as the
	// file says.
	Instances int
	// Watch rebuilds and replaces instances when Go files change.
	Watch bool
	// Output takes the table and the logs.
	Output io.Writer
	// Program is how the user calls this program, for the suggestions.
	Program string
}

// Up is one run of a platform.
type Up struct {
	opts  Options
	spawn *spawner
	mu    sync.Mutex
	sweep func()
}

// New returns a run. It does no I/O and starts nothing.
func New(opts Options) *Up {
	if opts.File == "" {
		opts.File = DefaultFile
	}
	return &Up{opts: opts}
}

// Kill ends every process at once, for a user who will not wait for the drain.
// It is safe to call at any time, from any goroutine.
func (u *Up) Kill() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.spawn != nil {
		u.spawn.killAll()
		u.sweep()
	}
}

// platform is what runs.
type platform struct {
	opts    Options
	file    *File
	ws      workspace.Workspace
	spawn   *spawner
	out     *output
	build   *builder
	environ []string
	color   bool
	width   int // of the instances' names
	flushed sync.WaitGroup

	groups []*group

	mu   sync.Mutex
	rows []Row
	at   map[*instance]int // index into rows
}

// group is the instances of one service.
type group struct {
	service   *Service
	instances []*instance
	stop      context.CancelFunc
	running   sync.WaitGroup
}

// Run builds, starts and supervises the platform until the context ends, and
// then drains it. Nothing that it started is left when it returns. It returns
// nil after an orderly stop.
func (u *Up) Run(ctx context.Context) (err error) {
	begun := time.Now()
	f, err := ReadFile(u.opts.File)
	if err != nil {
		return err
	}
	ws, err := workspace.New(rootOf(u.opts.File))
	if err != nil {
		return err
	}
	if err := ws.Create(); err != nil {
		return err
	}
	unlock, err := lock(ws)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := newPlatform(u.opts, f, ws, func(err error) { cancel(fmt.Errorf("write the output: %w", err)) })
	u.mu.Lock()
	u.spawn, u.sweep = p.spawn, p.sweep
	u.mu.Unlock()
	defer p.close()
	p.sweep()
	if err := p.start(ctx); err != nil {
		p.out.release(ctx.Err() != nil)
		p.stop()
		if ctx.Err() != nil {
			return nil // it was told to stop while it started
		}
		return err
	}
	p.welcome(time.Since(begun))
	p.supervise(ctx)
	p.stop()
	return nil
}

func newPlatform(opts Options, f *File, ws workspace.Workspace, broken func(error)) *platform {
	file, _ := opts.Output.(*os.File)
	terminal := file != nil && term.IsTerminal(int(file.Fd())) //nolint:gosec // descriptors are small
	p := &platform{
		opts: opts, file: f, ws: ws, spawn: newSpawner(), out: newOutput(opts.Output, terminal, broken),
		environ: os.Environ(), at: map[*instance]int{},
		color: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
	if terminal {
		p.out.columns = func() int {
			n, _, err := term.GetSize(int(file.Fd())) //nolint:gosec // descriptors are small
			if err != nil {
				return 80
			}
			return n
		}
	}
	p.build = &builder{spawn: p.spawn, out: p.out, root: ws.Root, bin: ws.Bin()}
	for i := range f.Services {
		p.add(&f.Services[i])
	}
	return p
}

// add makes the instances of a service.
func (p *platform) add(s *Service) {
	if p.opts.Instances > 0 {
		s.Instances = p.opts.Instances
	}
	g := &group{service: s}
	for n := range s.Instances {
		i := &instance{platform: p, service: s, number: n + 1, color: len(p.rows), replace: make(chan chan error)}
		g.instances = append(g.instances, i)
		p.at[i] = len(p.rows)
		p.rows = append(p.rows, Row{Service: s.Name, Instance: i.id()})
		p.width = max(p.width, len(i.id()))
	}
	if p.opts.Watch {
		p.width = max(p.width, len(s.Name)+len("-1.2")) // replacements have longer names
	}
	p.groups = append(p.groups, g)
}

// start builds everything and then starts service after service, each when the
// one before is healthy.
func (p *platform) start(ctx context.Context) error {
	for _, g := range p.groups {
		if _, err := p.build.build(ctx, g.service); err != nil {
			return err
		}
	}
	if err := p.share(ctx); err != nil {
		return err
	}
	for _, g := range p.groups {
		if err := p.startGroup(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

func (p *platform) startGroup(ctx context.Context, g *group) error {
	work := p.out.begin(fmt.Sprintf("starting %s (%d)", g.service.Name, len(g.instances)))
	defer work.end("")
	// The instances outlive the context: stop ends them, in their order.
	own, stop := context.WithCancel(context.WithoutCancel(ctx))
	g.stop = stop
	started := make(chan error, len(g.instances))
	for _, i := range g.instances {
		g.running.Go(func() { i.run(own, started) })
	}
	var faults []error
	for range g.instances {
		select {
		case err := <-started:
			faults = append(faults, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return errors.Join(faults...)
}

// supervise waits for the end, and for changes of the sources if it is to.
func (p *platform) supervise(ctx context.Context) {
	if p.opts.Watch {
		if err := p.watch(ctx); err != nil {
			p.warn(fmt.Sprintf("%s; the instances run on, without --watch", err))
		}
	}
	<-ctx.Done()
}

// stop drains the services, those that were started last first.
func (p *platform) stop() {
	begun := time.Now()
	count := 0
	for _, g := range slices.Backward(p.groups) {
		if g.stop == nil {
			continue
		}
		if count == 0 {
			p.out.note("\ndraining; Ctrl-C again kills at once")
		}
		g.stop()
		g.running.Wait()
		count += len(g.instances)
	}
	p.flushed.Wait()
	p.sweep()
	if count > 0 {
		p.out.note(fmt.Sprintf("stopped in %.1fs; the data stay in %s", time.Since(begun).Seconds(), p.ws.Data()))
	}
}

func (p *platform) close() {
	p.spawn.close()
	p.out.close()
}

// set takes over where an instance stands.
func (p *platform) set(i *instance, row Row) {
	p.mu.Lock()
	defer p.mu.Unlock()
	row.Restarts = p.rows[p.at[i]].Restarts
	p.rows[p.at[i]] = row
}

// restarted counts a restart.
func (p *platform) restarted(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows[p.at[i]].Restarts++
}

// showRow says where an instance stands: with the whole table on a terminal,
// and with its line elsewhere.
func (p *platform) showRow(i *instance) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := p.rows
	if !p.out.terminal {
		rows = []Row{p.rows[p.at[i]]}
	}
	p.out.note("\n" + Table(rows, p.color) + "\n")
}

// warn says what up itself has to say about an instance.
func (p *platform) warn(text string) {
	if p.color {
		text = "\x1b[33m" + text + "\x1b[0m"
	}
	p.out.note(text)
}

// welcome shows the table and what to do next, and lets the logs through.
func (p *platform) welcome(took time.Duration) {
	p.mu.Lock()
	rows := slices.Clone(p.rows)
	p.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n\nready in %.1fs.", Table(rows, p.color), took.Seconds())
	if pages := p.pages(rows); len(pages) > 0 {
		fmt.Fprintf(&b, " Open %s in a browser.", strings.Join(pages, " or "))
	}
	b.WriteString("\nTry, in another terminal:\n")
	for _, line := range p.suggestions(rows) {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	b.WriteString("Ctrl-C drains and stops. The logs follow.\n")
	p.out.note(b.String())
	p.out.release(true)
}

// pages are the addresses of pages for browsers.
func (p *platform) pages(rows []Row) (urls []string) {
	for _, g := range p.groups {
		at := slices.IndexFunc(rows, func(r Row) bool { return r.Service == g.service.Name && r.Edge != "" })
		if at < 0 {
			continue
		}
		for _, path := range g.service.Open {
			urls = append(urls, "http://"+rows[at].Edge+path)
		}
	}
	return urls
}

// suggestions are commands that work as they stand.
func (p *platform) suggestions(rows []Row) (lines []string) {
	for _, g := range p.groups {
		for _, try := range g.service.Try {
			lines = append(lines, p.opts.Program+" "+try)
		}
	}
	if len(rows) == 0 {
		return lines
	}
	if ops := rows[0].Ops; ops != "" {
		lines = append(lines, "curl -s http://"+ops+"/metrics | grep grpc_server_handled_total", "curl -s http://"+ops+"/readyz")
	}
	return append(lines, "grpcurl -plaintext "+rows[0].GRPC+" list")
}
