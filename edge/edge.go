package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/edge/internal/inproc"
	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/edge/openapi"
)

// Edge is the listener for browsers and the public in front of one service: an
// [http.Handler], and a [keelson.Front] of the service. It is safe for concurrent
// use.
type Edge struct {
	service    *keelson.Service
	cfg        Config
	log        *slog.Logger
	domain     string // of the errors that the edge makes itself
	metrics    *metrics
	proxies    proxies
	origins    *crossOrigin
	hsts       []string
	hosts      hosts
	maxBuffer  uint32       // bytes that one message may take while it is transcoded
	maxMessage int64        // bytes that one message may have when it is decompressed
	errors     *rest.Router // has no routes, and the form of errors
	added      *http.ServeMux
	docs       http.Handler

	routes     atomic.Pointer[routes]
	making     sync.Mutex // held while routes are made
	refreshing atomic.Bool

	listening sync.Mutex // guards the next two
	server    *http.Server
	listener  *listener

	leaving  atomic.Bool
	leftAt   atomic.Int64 // Unix nanoseconds; 0: it did not leave
	shutting atomic.Bool
	flight   flight
	closing  sync.Once
	closed   chan struct{}
	ending   sync.Mutex // held while work is begun
	ended    bool
	work     sync.WaitGroup
}

var _ keelson.Front = (*Edge)(nil)

// New makes an edge in front of a service and adds it to the service, which from
// then on starts it, drains it and closes it. It does no I/O and starts nothing. The
// error reports every fault of the configuration at once.
func New(s *keelson.Service, cfg Config, opts ...Option) (*Edge, error) {
	if s == nil {
		return nil, errors.New("make an edge: there is no service to put it in front of")
	}
	var o options
	for _, opt := range opts {
		opt.apply(&o)
	}
	c := s.Config()
	e := &Edge{
		service: s, cfg: cfg.withDefaults(int64(c.GRPC.MaxReceive)), log: s.Logger(), domain: s.ErrorDomain(),
		added: http.NewServeMux(), docs: openapi.Page(), closed: make(chan struct{}),
	}
	e.maxMessage = max(int64(e.cfg.MaxBody), int64(c.GRPC.MaxSend))
	e.maxBuffer = uint32(min(4*e.maxMessage, 2047<<20)) //nolint:gosec // it is bounded; JSON is longer than what it stands for
	e.hsts, e.hosts = strictTransport(e.cfg.HSTS), newHosts(&e.cfg)
	var origins, proxies error
	e.origins, origins = newCrossOrigin(&e.cfg)
	e.proxies, proxies = parseProxies(e.cfg.TrustedProxies)
	var failed error
	e.errors, failed = rest.New(rest.Config{})
	if err := errors.Join(e.cfg.check(c.Insecure), origins, proxies, failed, e.add(o.handlers)); err != nil {
		return nil, fmt.Errorf("make an edge: %w", err)
	}
	e.metrics = newMetrics(s.Registerer())
	s.AddFront("edge", e)
	return e, nil
}

// add routes the handlers of a main. A pattern that http.ServeMux does not take is
// an error and not the panic that it makes of it.
func (e *Edge) add(handlers []addedHandler) (err error) {
	for _, h := range handlers {
		if e := e.addOne(h); e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

func (e *Edge) addOne(h addedHandler) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("add a handler: %v", r)
		}
	}()
	switch {
	case h.handler == nil:
		return fmt.Errorf("add a handler at %q: there is none", h.pattern)
	case takesAll(h.pattern):
		return fmt.Errorf("add a handler at %q: it would take every path, and REST would never be asked; use a path of its own, or /{$} for the root alone", h.pattern)
	}
	e.added.Handle(h.pattern, h.handler)
	return nil
}

// flight counts the requests in flight.
type flight struct {
	mu    sync.Mutex
	count int
	none  chan struct{} // closed when the count gets to 0; nil: nobody waits
}

func (f *flight) begin() {
	f.mu.Lock()
	f.count++
	f.mu.Unlock()
}

func (f *flight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count--; f.count == 0 && f.none != nil {
		close(f.none)
		f.none = nil
	}
}

// wait waits until none is in flight.
func (f *flight) wait(ctx context.Context) error {
	f.mu.Lock()
	if f.count == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.none == nil {
		f.none = make(chan struct{})
	}
	none, count := f.none, f.count
	f.mu.Unlock()
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %d requests in flight: %w", count, ctx.Err())
	}
}

// close ends Serve where there is no listener.
func (e *Edge) close() { e.closing.Do(func() { close(e.closed) }) }

// background runs work that Close waits for; after Close nothing begins.
func (e *Edge) background(work func()) {
	e.ending.Lock()
	defer e.ending.Unlock()
	if !e.ended {
		e.work.Go(work)
	}
}

// isCall tells whether a path is that of a method, or names one that a service does
// not have.
func (e *Edge) isCall(path string) bool {
	routes, m := e.method(path)
	if m != nil {
		return true
	}
	service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return routes.services[service] && method != "" && !strings.Contains(method, "/")
}

// refreshed returns newer routes, or nil when these are the newest.
func (e *Edge) refreshed(r *routes) *routes {
	if r.contract == e.service.Contract() {
		return nil
	}
	return e.refresh()
}

// ask makes a call of a method that the service does not have, and returns how the
// service answers that.
func (e *Edge) ask(r *http.Request) *status.Status {
	c := inproc.Call{Handler: e.service, Method: r.URL.Path, Header: http.Header{headerCorrelation: r.Header[headerCorrelation]}, Host: r.Host, RemoteAddr: r.RemoteAddr, TLS: r.TLS}
	if v := r.Header[headerParent]; v != nil {
		c.Header[headerParent] = v
	}
	return c.Unary(r.Context(), nil).Status
}

// CorrelationHeader is the header of requests and answers that holds the
// correlation ID; gRPC calls it metadata of the same name.
const CorrelationHeader = call.CorrelationKey
