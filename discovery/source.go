package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/keelson-dev/keelson/target"
)

// source is where a watch gets its answers from: a driver, or one of gRPC's own resolvers. run follows until ctx ends or an error; it calls
// deliver from one goroutine and has waited for its goroutines when it returns.
type source interface {
	run(ctx context.Context, deliver func(answer)) error
	// name says which registry and service this is, for messages.
	name() string
	// cache is where the last good list is kept in a directory; the zero value is nowhere.
	cache(dir, dialled string) cacheFile
	// hint asks to look again soon; it must not block.
	hint()
}

// driverSource follows a service through a driver.
type driverSource struct {
	driver Watcher
	query  Query
}

func (s *driverSource) run(ctx context.Context, deliver func(answer)) error {
	c := cleaner{service: s.query.Service}
	return s.driver.Watch(ctx, s.query, func(u Update) { deliver(c.clean(u)) })
}

func (s *driverSource) name() string {
	if len(s.query.Params) > 0 {
		return fmt.Sprintf("service %q with %s in %s", s.query.Service, s.query.Params.Encode(), s.driver)
	}
	return fmt.Sprintf("service %q in %s", s.query.Service, s.driver)
}

func (s *driverSource) cache(dir, dialled string) cacheFile {
	return newCacheFile(dir, s.query.Service, dialled, s.driver.String())
}

func (s *driverSource) hint() {}

// grpcSource follows a target through one of gRPC's own resolvers, so that plain addresses and DNS get the same treatment as a registry.
type grpcSource struct {
	builder resolver.Builder
	target  resolver.Target
	opts    resolver.BuildOptions
	refresh time.Duration
	hints   chan struct{}
}

func newGRPCSource(b resolver.Builder, t resolver.Target, opts resolver.BuildOptions, refresh time.Duration) *grpcSource {
	// The policy of a method comes from its contract and from configuration, never from a TXT record.
	opts.DisableServiceConfig = true
	return &grpcSource{builder: b, target: t, opts: opts, refresh: refresh, hints: make(chan struct{}, 1)}
}

func (s *grpcSource) name() string { return "target " + s.target.String() }

// cache: what gRPC's own resolvers find has parts that only they understand.
func (s *grpcSource) cache(string, string) cacheFile { return cacheFile{} }

func (s *grpcSource) hint() {
	select {
	case s.hints <- struct{}{}:
	default:
	}
}

func (s *grpcSource) run(ctx context.Context, deliver func(answer)) error {
	in := &inlet{news: make(chan struct{}, 1)}
	r, err := s.builder.Build(s.target, in, s.opts)
	if err != nil {
		return fmt.Errorf("build gRPC resolver: %w", err)
	}
	defer r.Close()
	tick := newTicker(s.refresh)
	defer tick.stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.c:
			r.ResolveNow(resolver.ResolveNowOptions{})
			tick.reset()
		case <-s.hints:
			r.ResolveNow(resolver.ResolveNowOptions{})
		case <-in.news:
			state, err := in.take()
			if err != nil {
				return err
			}
			a := addresses(state)
			if len(a.entries) == 0 {
				return errors.New("no address found")
			}
			deliver(a)
		}
	}
}

// addresses turns what gRPC's resolver found into an answer. Addresses are not judged: what they mean is between resolver and dialer.
func addresses(s resolver.State) answer {
	eps := s.Endpoints
	if len(eps) == 0 {
		for _, addr := range s.Addresses {
			ep := resolver.Endpoint{Attributes: addr.BalancerAttributes}
			addr.BalancerAttributes = nil
			ep.Addresses = []resolver.Address{addr}
			eps = append(eps, ep)
		}
	}
	var entries []entry
	for _, ep := range eps {
		if len(ep.Addresses) > 0 {
			first := ep.Addresses[0].Addr
			entries = append(entries, newEntry(target.Instance{ID: first, Address: first, Weight: DefaultWeight}, ep))
		}
	}
	var a answer
	a.entries = a.unique(entries)
	return a
}

// inlet is the resolver.ClientConn that a wrapped resolver reports to; it keeps the latest report only.
type inlet struct {
	resolver.ClientConn // what gRPC may add to the interface
	news                chan struct{}

	mu    sync.Mutex
	state resolver.State
	err   error
}

func (c *inlet) put(s resolver.State, err error) {
	c.mu.Lock()
	c.state, c.err = s, err
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *inlet) take() (resolver.State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state, c.err
}

func (c *inlet) UpdateState(s resolver.State) error { c.put(s, nil); return nil }

func (c *inlet) ReportError(err error) { c.put(resolver.State{}, err) }

func (c *inlet) NewAddress(addrs []resolver.Address) { c.put(resolver.State{Addresses: addrs}, nil) }

func (c *inlet) ParseServiceConfig(string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{Err: errors.New("service configs from resolvers are not used")}
}

// ticker ticks at jittered intervals; with no interval, never.
type ticker struct {
	every time.Duration
	timer *time.Timer
	c     <-chan time.Time
}

func newTicker(every time.Duration) *ticker {
	t := &ticker{every: every}
	if every > 0 {
		t.timer = time.NewTimer(jitter(every))
		t.c = t.timer.C
	}
	return t
}

func (t *ticker) reset() { t.timer.Reset(jitter(t.every)) }

func (t *ticker) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}
