package internal

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/repository"
)

// HandlerConfig holds the handler's settings. The zero value works.
type HandlerConfig struct {
	// DeletedTTL is how long a deleted user can be undeleted; 0: 30 days.
	DeletedTTL time.Duration `yaml:"deleted_ttl" default:"720h" min:"1s" doc:"how long a deleted user can be undeleted before it is purged"`
	// Import bounds ImportUsers.
	Import ImportConfig `yaml:"import"`
	// Watch bounds WatchUsers.
	Watch WatchConfig `yaml:"watch"`
}

func (c HandlerConfig) withDefaults() HandlerConfig {
	c.DeletedTTL = orDefault(c.DeletedTTL, 30*24*time.Hour)
	c.Import = c.Import.withDefaults()
	c.Watch = c.Watch.withDefaults()
	return c
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Handler answers the methods of user.v1.UserService from a store. It is safe
// for concurrent use. WatchUsers works only while Run runs.
type Handler struct {
	userv1.UnimplementedUserServiceServer

	store    repository.Store
	cfg      HandlerConfig
	errors   errs.Classifier
	filters  *filterParser
	hub      *hub
	log      *slog.Logger
	draining func(context.Context) <-chan struct{}
	epoch    atomic.Pointer[[8]byte]

	registerer prometheus.Registerer
	metrics    *instruments
}

// An Option changes a Handler at its making.
type Option interface{ apply(*Handler) }

type optionFunc func(*Handler)

func (f optionFunc) apply(h *Handler) { f(h) }

// WithLogger logs to l; default: nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(h *Handler) {
		if l != nil {
			h.log = l
		}
	})
}

// WithDraining gives the signal on which streams end: a channel, found through
// the stream's context, that is closed when the instance drains. Default: never.
func WithDraining(f func(context.Context) <-chan struct{}) Option {
	return optionFunc(func(h *Handler) { h.draining = f })
}

// NewHandler returns a handler for a store, which the caller opens, migrates
// and closes.
func NewHandler(store repository.Store, cfg HandlerConfig, opts ...Option) (*Handler, error) {
	filters, err := newFilterParser()
	if err != nil {
		return nil, err
	}
	h := &Handler{
		store: store, cfg: cfg.withDefaults(), errors: Errors(), filters: filters,
		log:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		draining: func(context.Context) <-chan struct{} { return nil },
	}
	for _, o := range opts {
		o.apply(h)
	}
	if h.metrics, err = newInstruments(h.registerer); err != nil {
		return nil, fmt.Errorf("register the metrics of users: %w", err)
	}
	h.hub = newHub(store, h.cfg.Watch, h.log)
	return h, nil
}

// Run feeds the watchers of this handler until the context ends; its one
// goroutine is the only one that polls the store for changes. It returns nil.
func (h *Handler) Run(ctx context.Context) error { return h.hub.run(ctx) }

// epochOf is the digest of the store's epoch, asked for once.
func (h *Handler) epochOf(ctx context.Context) ([8]byte, error) {
	if e := h.epoch.Load(); e != nil {
		return *e, nil
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return [8]byte{}, err
	}
	digest := epochDigest(head.Epoch)
	h.epoch.Store(&digest)
	return digest, nil
}
