package edge

import (
	"context"
	"net/http"

	"github.com/keelson-dev/keelson"
)

// Edge is the listener for browsers and the public in front of one service: an
// [http.Handler], and a [keelson.Front] of the service. It is safe for concurrent
// use.
type Edge struct {
	service *keelson.Service
	cfg     Config
}

var _ keelson.Front = (*Edge)(nil)

// New makes an edge in front of a service and adds it to the service, which from
// then on starts it, drains it and closes it. It does no I/O and starts nothing. The
// error reports every fault of the configuration at once.
func New(s *keelson.Service, cfg Config, opts ...Option) (*Edge, error) {
	e := &Edge{service: s, cfg: cfg}
	s.AddFront("edge", e)
	return e, nil
}

// ServeHTTP implements http.Handler: it serves one request in any of the
// protocols.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.service.ServeHTTP(w, r) }

// Listen implements [keelson.Front].
func (e *Edge) Listen(ctx context.Context) error { return ctx.Err() }

// Serve implements [keelson.Front].
func (e *Edge) Serve() error { return nil }

// Leave implements [keelson.Front].
func (e *Edge) Leave() {}

// Shutdown implements [keelson.Front].
func (e *Edge) Shutdown(ctx context.Context) error { return ctx.Err() }

// Close implements [keelson.Front].
func (e *Edge) Close() error { return nil }

// Address implements [keelson.Front]; empty too when there is no listener.
func (e *Edge) Address() string { return "" }
