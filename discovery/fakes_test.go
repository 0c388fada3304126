package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/target"
)

// scripted is a Watcher whose test says what it delivers and when it fails.
type scripted struct {
	mu      sync.Mutex
	watches int // running
	started int // ever
	queries []discovery.Query

	updates chan discovery.Update
	errs    chan error
}

func newScripted() *scripted {
	return &scripted{updates: make(chan discovery.Update), errs: make(chan error)}
}

func (s *scripted) Scheme() string { return "test" }
func (s *scripted) String() string { return "test registry" }

func (s *scripted) Watch(ctx context.Context, q discovery.Query, deliver func(discovery.Update)) error {
	s.mu.Lock()
	s.watches++
	s.started++
	s.queries = append(s.queries, q)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.watches--
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.errs:
			return err
		case u := <-s.updates:
			deliver(u)
		}
	}
}

func (s *scripted) counts() (running, started int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watches, s.started
}

// names makes a list of instances: "a" is at 10.0.0.1:1, "b" at 10.0.0.2:1, and so on.
func list(names ...string) discovery.Update {
	var u discovery.Update
	for _, n := range names {
		u.Instances = append(u.Instances, discovery.Instance{Service: "user", ID: n, Address: fmt.Sprintf("10.0.0.%d:1", n[0]-'a'+1)})
	}
	return u
}

// fakeConn is the connection that a resolver reports to.
type fakeConn struct {
	resolver.ClientConn
	mu     sync.Mutex
	states []resolver.State
	errs   []error
	refuse error
}

func (c *fakeConn) UpdateState(s resolver.State) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.states = append(c.states, s)
	return c.refuse
}

func (c *fakeConn) ReportError(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.errs = append(c.errs, err)
}

func (c *fakeConn) ParseServiceConfig(string) *serviceconfig.ParseResult { return nil }

// ids are the instances of the last list; "" before the first.
func (c *fakeConn) ids() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.states) == 0 {
		return ""
	}
	var out []byte
	for _, ep := range c.states[len(c.states)-1].Endpoints {
		in, _ := target.FromEndpoint(ep)
		out = append(out, in.ID...)
	}
	return string(out)
}

func (c *fakeConn) updates() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.states)
}

func (c *fakeConn) lastError() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.errs) == 0 {
		return ""
	}
	return c.errs[len(c.errs)-1].Error()
}

func parse(t *testing.T, dial string) resolver.Target {
	t.Helper()
	u, err := url.Parse(dial)
	if err != nil {
		t.Fatal(err)
	}
	return resolver.Target{URL: *u}
}

func build(t *testing.T, b resolver.Builder, dial string) (*fakeConn, resolver.Resolver) {
	t.Helper()
	c := &fakeConn{}
	r, err := b.Build(parse(t, dial), c, resolver.BuildOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c, r
}

// stubRegistrar is a registry of one instance, made of functions.
type stubRegistrar struct {
	register, check, deregister func(context.Context, discovery.Instance) error
}

func (s stubRegistrar) Register(ctx context.Context, in discovery.Instance) error {
	return s.register(ctx, in)
}

func (s stubRegistrar) Check(ctx context.Context, in discovery.Instance) error {
	return s.check(ctx, in)
}

func (s stubRegistrar) Deregister(ctx context.Context, in discovery.Instance) error {
	return s.deregister(ctx, in)
}

// memory is a registry in memory that can be away.
type memory struct {
	mu       sync.Mutex
	away     bool
	ids      []string
	attempts int
}

var errAway = errors.New("registry is away")

func (m *memory) do(f func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.attempts++
	if m.away {
		return errAway
	}
	return f()
}

func (m *memory) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func (m *memory) has(id string) (has bool) {
	m.set(func() { has = slices.Contains(m.ids, id) })
	return has
}

func (m *memory) Register(_ context.Context, in discovery.Instance) error {
	return m.do(func() error {
		if !slices.Contains(m.ids, in.ID) {
			m.ids = append(m.ids, in.ID)
		}
		return nil
	})
}

func (m *memory) Check(_ context.Context, in discovery.Instance) error {
	return m.do(func() error {
		if !slices.Contains(m.ids, in.ID) {
			return discovery.ErrNotRegistered
		}
		return nil
	})
}

func (m *memory) Deregister(_ context.Context, in discovery.Instance) error {
	return m.do(func() error {
		m.ids = slices.DeleteFunc(m.ids, func(id string) bool { return id == in.ID })
		return nil
	})
}
