package discovery

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

// Builder is a gRPC resolver.Builder that never takes away a good list. Hand it to the connections of one client with
// grpc.WithResolvers; it is not meant for gRPC's global registry. Connections with the same dial target share one watch, which lasts as
// long as one of them; the last good list is remembered beyond that, for the connection that comes next. Safe for concurrent use.
type Builder struct {
	scheme string
	source func(resolver.Target, resolver.BuildOptions) (source, error)
	cfg    Config
	opts   options
	met    resolverMetrics

	mu       sync.Mutex
	watches  map[string]*watch
	lastGood map[string][]entry
	ended    []string // targets that are or were without a connection, the latest at the end
}

// rememberMost is the number of targets without a connection that something is known of, their last good lists and counters: a client may
// dial ever new ones.
const rememberMost = 100

// NewResolver returns the resolver for targets scheme:///service?name=value, with the scheme of the driver.
func NewResolver(driver Watcher, cfg Config, opts ...Option) *Builder {
	b := newBuilder(driver.Scheme(), cfg, opts)
	b.source = func(t resolver.Target, _ resolver.BuildOptions) (source, error) {
		q, err := parseQuery(t)
		if checker, ok := driver.(queryChecker); ok && err == nil {
			err = checker.CheckQuery(q)
		}
		if err != nil {
			return nil, err
		}
		return &driverSource{driver: driver, query: q}, nil
	}
	return b
}

// Wrap returns a resolver of the same scheme around one of gRPC's own (resolver.Get("dns"), resolver.Get("passthrough")): plain addresses
// and DNS names then carry attributes, keep their last good list, and are resolved again every Config.Refresh. Service configs from DNS
// are not used. What the inner resolver fails at is tried again after a pause of at most Config.MaxBackoff.
func Wrap(inner resolver.Builder, cfg Config, opts ...Option) resolver.Builder {
	b := newBuilder(inner.Scheme(), cfg, opts)
	b.source = func(t resolver.Target, o resolver.BuildOptions) (source, error) {
		return newGRPCSource(inner, t, o, b.cfg.Refresh), nil
	}
	if a, ok := inner.(resolver.AuthorityOverrider); ok {
		return &overridingBuilder{Builder: b, AuthorityOverrider: a}
	}
	return b
}

// overridingBuilder keeps the authority that a wrapped resolver asks for.
type overridingBuilder struct {
	*Builder
	resolver.AuthorityOverrider
}

func newBuilder(scheme string, cfg Config, opts []Option) *Builder {
	o := newOptions(opts)
	return &Builder{
		scheme: scheme, cfg: cfg.withDefaults(), opts: o, met: newResolverMetrics(o.reg),
		watches: make(map[string]*watch), lastGood: make(map[string][]entry),
	}
}

func parseQuery(t resolver.Target) (Query, error) {
	u, service := t.URL, t.Endpoint()
	name, port, hasPort := strings.Cut(service, ":")
	switch {
	case u.User != nil:
		return Query{}, errors.New("the target has a user name in it; credentials belong in the configuration of the registry")
	case u.Host != "":
		return Query{}, fmt.Errorf("the target has %q where nothing belongs; write %s:///%s", u.Host, u.Scheme, u.Hostname())
	case service == "":
		return Query{}, fmt.Errorf("the target names no service; write %s:///name", u.Scheme)
	case u.Fragment != "":
		return Query{}, fmt.Errorf("the target ends in %q, which means nothing; parameters begin with '?'", "#"+u.Fragment)
	case hasPort && ValidateService(name) == nil:
		return Query{}, fmt.Errorf("the target has %q behind the service, whose instances have their ports in the registry; write %s:///%s", ":"+port, u.Scheme, name)
	}
	if err := ValidateService(service); err != nil {
		return Query{}, err
	}
	params, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Query{}, fmt.Errorf("parameters %q of the target: %w; write name=value&name=value", u.RawQuery, err)
	}
	return Query{Service: service, Params: params}, nil
}

// Scheme implements resolver.Builder.
func (b *Builder) Scheme() string { return b.scheme }

// Check reports why a dial target can never be resolved: what it names is no service, or has parameters that mean nothing to the registry.
// Build refuses it too, but gRPC calls that with the first call, and calls that wait only hear that nothing came. It does no I/O.
func (b *Builder) Check(t resolver.Target) error {
	_, err := b.source(t, resolver.BuildOptions{})
	return err
}

// Build implements resolver.Builder; gRPC calls it once per connection and again when a connection leaves idle mode. It does no I/O.
func (b *Builder) Build(t resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	w, err := b.acquire(t, opts)
	if err != nil {
		return nil, err
	}
	c := &conn{builder: b, watch: w, cc: cc, news: make(chan struct{}, 1), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	w.subscribe(c)
	go c.run(ctx)
	return c, nil
}

func (b *Builder) acquire(t resolver.Target, opts resolver.BuildOptions) (*watch, error) {
	key := t.URL.String()
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.watches[key]
	if w == nil {
		src, err := b.source(t, opts)
		if err != nil {
			return nil, fmt.Errorf("dial target %q: %w", t.URL.Redacted(), err)
		}
		w = &watch{
			src: src, cfg: b.cfg, opts: b.opts, met: b.met, state: b.opts.targets.Acquire(key), subs: make(map[*conn]struct{}),
			cache: src.cache(b.cfg.CacheDir, key),
		}
		b.watches[key] = w
		w.start(b.lastGood[key])
	}
	w.refs++
	return w, nil
}

// release ends the watch with the last connection. It waits for the watch outside of the lock that other connections need; a connection
// that comes meanwhile starts a new one with the list remembered here.
func (b *Builder) release(w *watch) {
	key := w.state.Name()
	b.mu.Lock()
	w.refs--
	last := w.refs == 0
	if last {
		delete(b.watches, key)
		b.remember(key, w.published().known)
	}
	b.mu.Unlock()
	if last {
		w.stop()
		b.opts.targets.Release(w.state)
		b.forget(key)
	}
}

// remember keeps what is known of a target for its next connection, and forgets that of the one that ended longest ago; the caller holds
// the lock.
func (b *Builder) remember(key string, entries []entry) {
	b.ended = append(slices.DeleteFunc(b.ended, func(k string) bool { return k == key }), key)
	if len(entries) > 0 {
		b.lastGood[key] = entries
	}
	if len(b.ended) <= rememberMost {
		return
	}
	oldest := b.ended[0]
	b.ended = b.ended[1:]
	delete(b.lastGood, oldest)
	if b.watches[oldest] == nil {
		b.met.forgetAll(oldest)
	}
}

// forget takes away the gauges of a target that nobody follows any more: what
// they say is not so.
func (b *Builder) forget(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.watches[key] == nil {
		b.met.forget(key)
	}
}

// conn is the resolver of one connection: it hands the latest publication to gRPC from a goroutine of its own, so that one connection that
// is slow to take a list does not keep it from the others.
type conn struct {
	builder *Builder
	watch   *watch
	cc      resolver.ClientConn
	news    chan struct{}
	cancel  func()
	done    chan struct{}
	once    sync.Once
}

func (c *conn) wake() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *conn) run(ctx context.Context) {
	defer close(c.done)
	losses, gains := rate.NewLimiter(rate.Inf, updateBurst), rate.NewLimiter(rate.Inf, updateBurst)
	if every := c.builder.cfg.UpdateInterval; every > 0 {
		losses.SetLimit(rate.Every(every))
		gains.SetLimit(rate.Every(every / gainShare))
	}
	var told publication
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.news:
		}
		next := c.watch.published()
		if next.newList(told) {
			pace := losses
			if next.adds(told) {
				pace = gains
			}
			if pace.Wait(ctx) != nil {
				return
			}
			next = c.watch.published() // what was waited for may be over
		}
		c.tell(ctx, told, next)
		told = next
	}
}

const (
	// updateBurst is how many lists a connection is given at once.
	updateBurst = 5
	// gainShare is how much shorter the interval is between lists that have
	// instances which the one before had not: in a rolling restart they are what
	// calls wait for.
	gainShare = 5
)

// adds reports whether the list has an instance that the one told before had not.
func (p publication) adds(told publication) bool {
	had := make(map[string]bool, len(told.entries))
	for _, e := range told.entries {
		had[e.inst.Address] = true
	}
	return slices.ContainsFunc(p.entries, func(e entry) bool { return !had[e.inst.Address] })
}

// newList reports whether gRPC must hear of the list. It is never empty: without one there is only an error to report.
func (p publication) newList(told publication) bool {
	return len(p.entries) > 0 && !slices.EqualFunc(told.entries, p.entries, entry.sameToGRPC)
}

// tell hands gRPC what has changed.
func (c *conn) tell(ctx context.Context, told, next publication) {
	if next.newList(told) {
		c.builder.met.updates.WithLabelValues(c.watch.state.Name()).Inc()
		if err := c.cc.UpdateState(c.state(next.entries)); err != nil && ctx.Err() == nil {
			c.builder.opts.log.Warn("list refused by the balancing policy", "target", c.watch.state.Name(), "error", err)
		}
	}
	if next.err != nil && next.err != told.err { //nolint:errorlint // the same report, not one like it
		c.cc.ReportError(next.err)
	}
}

func (c *conn) state(entries []entry) resolver.State {
	s := resolver.State{Endpoints: make([]resolver.Endpoint, 0, len(entries)), Addresses: make([]resolver.Address, 0, len(entries))}
	for i := range entries {
		s.Endpoints = append(s.Endpoints, entries[i].ep)
		s.Addresses = append(s.Addresses, entries[i].ep.Addresses...)
	}
	return target.SetState(s, c.watch.state)
}

// ResolveNow implements resolver.Resolver: a hint, passed on to wrapped resolvers.
func (c *conn) ResolveNow(resolver.ResolveNowOptions) { c.watch.src.hint() }

// Close implements resolver.Resolver. It returns when the goroutines of this connection have ended, and with the last connection of a
// target those of its watch.
func (c *conn) Close() {
	c.once.Do(func() {
		c.watch.unsubscribe(c)
		c.cancel()
		<-c.done
		c.builder.release(c.watch)
	})
}
