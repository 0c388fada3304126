// Package internal is the gateway: it exposes the services on its allow-list and
// forwards their calls without knowing their Go types.
//
// server.go wires it to the chassis. A backend is a target: backend.go keeps what
// is known of its services, which descriptors.go reads and checks, from files or
// by reflection.go. forward.go passes on unary calls and relay.go streams, by the
// links of link.go; metadata.go says what of their metadata goes through, and
// errors.go what their ends are to the client. limit.go bounds what each client
// may call, whom clients.go tells apart, and told.go tells streams their quota. The
// files of the platform service begin with platform.
package internal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/console"
	"github.com/keelson-dev/keelson/edge"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

// Name is the name under which the gateway is registered and found.
const Name = "gateway"

// Run loads the configuration from args, environment and file, and serves until
// the context ends and the instance has drained.
func Run(ctx context.Context, args []string) error {
	cfg := DefaultConfig()
	if err := keelson.LoadConfig(&cfg, args); err != nil {
		return err
	}
	g, err := New(cfg)
	if err != nil {
		return err
	}
	service, err := keelson.New(Name, cfg.Config, g.Options()...)
	if err != nil {
		return err
	}
	if err := g.Register(service); err != nil {
		return err
	}
	return service.Run(ctx)
}

// An Option changes a Gateway at its making.
type Option interface{ apply(*Gateway) }

type optionFunc func(*Gateway)

func (f optionFunc) apply(g *Gateway) { f(g) }

// WithDialOptions adds options to the connections to backends, after the
// chassis's.
func WithDialOptions(o ...grpc.DialOption) Option {
	return optionFunc(func(g *Gateway) { g.dialOptions = append(g.dialOptions, o...) })
}

// Gateway is what one instance forwards: make it, make a chassis service with its
// Options, and Register it there, once.
type Gateway struct {
	cfg         Config
	dialOptions []grpc.DialOption
	files       map[string]description // what the files say of services
	idle        []string               // files that say nothing of them
	limiter     *limiter

	service  *keelson.Service
	targets  *targets
	drain    *drain
	metrics  *instruments
	backends []*backend
	siblings string // target of the gateway's own instances; "": they are not counted
}

// New makes a gateway. It reads the files of descriptors, and starts nothing. The
// error reports what is wrong with the configuration.
func New(cfg Config, opts ...Option) (*Gateway, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	g := &Gateway{cfg: cfg, limiter: &limiter{clients: newClients(cfg.Limits)}, drain: newDrain()}
	for _, o := range opts {
		o.apply(g)
	}
	names := []string{platformv1.PlatformService_ServiceDesc.ServiceName} // its Go type has no comments
	for _, s := range cfg.Services {
		names = append(names, s.Service)
	}
	var err error
	g.files, g.idle, err = loadDescriptors(cfg.Descriptors, names)
	return g, err
}

// Options are what the gateway wants of its chassis.
func (g *Gateway) Options() []keelson.Option {
	options := []keelson.Option{keelson.WithErrorDomain(Domain), keelson.WithFrames()}
	for _, d := range g.files { // so that the configuration can name their methods
		options = append(options, keelson.WithDescriptors(d.ServiceDescriptor))
	}
	return append(options, g.limiter.options()...)
}

// Register adds the gateway to a chassis service that was made with its Options:
// it exposes the services on the allow-list, and serves the platform service and
// the edge, with the console.
func (g *Gateway) Register(service *keelson.Service) error {
	g.service, g.targets = service, &targets{look: service.Targets}
	var err error
	if g.metrics, err = newInstruments(service.Registerer()); err != nil {
		return fmt.Errorf("register the metrics of the gateway: %w", err)
	}
	g.limiter.metrics = g.metrics
	for _, path := range g.idle {
		service.Logger().Warn("a file of descriptors describes no service of the allow-list; is it another platform's?", "file", path)
	}
	if err := errors.Join(g.prepareLimits(service), g.makeBackends()); err != nil {
		return err
	}
	if err := g.registerPlatform(); err != nil {
		return err
	}
	root := http.RedirectHandler(console.Path, http.StatusTemporaryRedirect)
	if _, err := edge.New(service, g.cfg.Edge, edge.WithHandler(console.Path, console.Handler()), edge.WithHandler("/{$}", root)); err != nil {
		return err
	}
	service.OnStart("forwarding", g.start)
	service.Go("forwarding", g.run)
	service.OnStop("forwarding", g.wait)
	return nil
}

// makeBackends makes one backend for each target. It dials them, which connects
// to nothing, to find faults early.
func (g *Gateway) makeBackends() error {
	for _, s := range g.cfg.Services {
		i := slices.IndexFunc(g.backends, func(b *backend) bool { return b.target == s.Target })
		if i < 0 {
			b, err := g.newBackend(s.Target)
			if err != nil {
				return fmt.Errorf("services: the target of %s: %w", s.Service, err)
			}
			i, g.backends = len(g.backends), append(g.backends, b)
			g.service.Dependency(s.Target, b.check)
		}
		g.backends[i].services = append(g.backends[i].services, s.Service)
	}
	return nil
}

func (g *Gateway) newBackend(target string) (*backend, error) {
	r := g.cfg.Reflection
	r.Refresh, r.MaxSize = orDefault(r.Refresh, time.Minute), orDefault(r.MaxSize, 4<<20)
	most := sizes{request: int(orDefault(g.cfg.Client.MaxSend, 16<<20)), answer: int(orDefault(g.cfg.GRPC.MaxSend, 16<<20))}
	b := &backend{
		forwarder: &forwarder{target: target, patience: orDefault(g.cfg.ReadyTimeout, 2*time.Second), sizes: most, drain: g.drain},
		host:      g.service, log: g.service.Logger(), metrics: g.metrics, targets: g.targets, cfg: r,
		dial: func() (*grpc.ClientConn, error) {
			return g.service.Dial(target, append([]grpc.DialOption{keelson.RawFrames()}, g.dialOptions...)...)
		},
		known: map[string]description{}, missing: map[string]int{},
	}
	return b, b.link()
}

// start exposes the services, and waits a while for their methods to be known: an
// instance that is registered should serve them.
func (g *Gateway) start(ctx context.Context) error {
	for _, b := range g.backends {
		if err := b.start(g.files); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, orDefault(g.cfg.Reflection.StartTimeout, 3*time.Second))
	defer cancel()
	var asking sync.WaitGroup
	for _, b := range g.backends {
		asking.Go(func() { b.first(ctx) })
	}
	asking.Wait()
	return nil
}

// run keeps up with all backends, until the context ends.
func (g *Gateway) run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { g.drain.run(ctx) })
	for _, b := range g.backends {
		running.Go(func() { b.run(ctx) })
	}
	running.Wait()
	return nil
}

// wait waits for the goroutines of streams, whose handlers have returned.
func (g *Gateway) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, b := range g.backends {
			b.pumps.Wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the streams to end: %w", ctx.Err())
	}
}
