// Package internal is the gateway: it exposes the services on its allow-list and
// forwards their calls without knowing their Go types.
//
// server.go wires it to the chassis. A backend is a target: backend.go keeps what
// is known of its services, which descriptors.go reads and checks, from files or
// by reflection.go. forward.go passes on unary calls and relay.go streams, by the
// links of link.go; metadata.go says what of their metadata goes through, and
// errors.go what their ends are to the client. limit.go bounds what each client
// may call.
package internal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson"
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
	options, err := Options(cfg)
	if err != nil {
		return err
	}
	service, err := keelson.New(Name, cfg.Config, options...)
	if err != nil {
		return err
	}
	if err := Register(service, cfg); err != nil {
		return err
	}
	return service.Run(ctx)
}

// An Option changes what Register makes.
type Option interface{ apply(*gateway) }

type optionFunc func(*gateway)

func (f optionFunc) apply(g *gateway) { f(g) }

// WithDialOptions adds options to the connections to backends, after the
// chassis's.
func WithDialOptions(o ...grpc.DialOption) Option {
	return optionFunc(func(g *gateway) { g.dialOptions = append(g.dialOptions, o...) })
}

// gateway is what one instance forwards.
type gateway struct {
	service     *keelson.Service
	cfg         Config
	dialOptions []grpc.DialOption
	drain       *drain
	metrics     *instruments
	backends    []*backend
}

// Register adds the gateway to a chassis service that was made with Options: it
// exposes the services on the allow-list.
func Register(service *keelson.Service, cfg Config, opts ...Option) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	g := &gateway{service: service, cfg: cfg, drain: newDrain()}
	for _, o := range opts {
		o.apply(g)
	}
	var err error
	if g.metrics, err = newInstruments(service.Registerer()); err != nil {
		return fmt.Errorf("register the metrics of the gateway: %w", err)
	}
	if err := g.makeBackends(); err != nil {
		return err
	}
	service.OnStart("forwarding", func(context.Context) error { return g.start() })
	service.Go("forwarding", g.run)
	service.OnStop("forwarding", func(ctx context.Context) error { return g.wait(ctx) })
	return nil
}

// makeBackends makes one backend for each target. It dials them, which connects
// to nothing, to find faults early.
func (g *gateway) makeBackends() error {
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

func (g *gateway) newBackend(target string) (*backend, error) {
	r := g.cfg.Reflection
	r.Refresh, r.MaxSize = orDefault(r.Refresh, time.Minute), orDefault(r.MaxSize, 4<<20)
	b := &backend{
		forwarder: &forwarder{target: target, patience: orDefault(g.cfg.ReadyTimeout, 2*time.Second), drain: g.drain},
		host:      g.service, log: g.service.Logger(), metrics: g.metrics, cfg: r,
		dial: func() (*grpc.ClientConn, error) {
			return g.service.Dial(target, append([]grpc.DialOption{keelson.RawFrames()}, g.dialOptions...)...)
		},
		known: map[string]description{}, missing: map[string]int{},
	}
	return b, b.link()
}

// start exposes the services.
func (g *gateway) start() error {
	var names []string
	for _, s := range g.cfg.Services {
		names = append(names, s.Service)
	}
	fromFiles, err := loadDescriptors(g.cfg.Descriptors, names)
	if err != nil {
		return err
	}
	for _, b := range g.backends {
		if err := b.start(fromFiles); err != nil {
			return err
		}
	}
	return nil
}

// run keeps up with all backends, until the context ends.
func (g *gateway) run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { g.drain.run(ctx) })
	for _, b := range g.backends {
		running.Go(func() { b.run(ctx) })
	}
	running.Wait()
	return nil
}

// wait waits for the goroutines of streams, whose handlers have returned.
func (g *gateway) wait(ctx context.Context) error {
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
