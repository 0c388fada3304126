package internal

import (
	"context"
	"io"
	"log/slog"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/repository"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// Handler answers the methods of audit.v1.AuditService from a store. It is safe
// for concurrent use. Follow hands out new changes only while Run runs.
type Handler struct {
	auditv1.UnimplementedAuditServiceServer
	settings

	store  repository.Store
	users  userv1.UserServiceClient
	names  UsersConfig
	follow FollowConfig
	tail   *tail
}

// NewHandler returns a handler for a store, which the caller opens, migrates and
// closes. It asks users for the names to show.
func NewHandler(store repository.Store, users userv1.UserServiceClient, names UsersConfig, follow FollowConfig, opts ...Option) *Handler {
	h := &Handler{settings: newSettings(opts), store: store, users: users, names: names.withDefaults(), follow: follow.withDefaults()}
	h.tail = newTail(store, h.log)
	return h
}

// Run tells the Follow streams of this handler about new changes, until the
// context ends; it alone looks for them in the store. It returns nil.
func (h *Handler) Run(ctx context.Context) error { return h.tail.run(ctx) }

// Wake makes Run look for new changes at once.
func (h *Handler) Wake() { h.tail.nudge() }

// settings are what a Handler and a Recorder have in common.
type settings struct {
	log      *slog.Logger
	metrics  *instruments
	draining func(context.Context) <-chan struct{}
	appended func()
}

func newSettings(opts []Option) settings {
	s := settings{
		log:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		draining: func(context.Context) <-chan struct{} { return nil },
		appended: func() {},
	}
	for _, o := range opts {
		o.apply(&s)
	}
	if s.metrics == nil {
		s.metrics, _ = newInstruments(nil) // registers nothing, and so does not fail
	}
	return s
}

// An Option changes a Handler or a Recorder at its making.
type Option interface{ apply(*settings) }

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

// WithLogger logs to l; default: nothing is logged.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(s *settings) {
		if l != nil {
			s.log = l
		}
	})
}

// WithDraining gives the signal on which Follow streams end: a channel, found
// through the stream's context, that is closed when the instance drains.
// Default: never.
func WithDraining(f func(context.Context) <-chan struct{}) Option {
	return optionFunc(func(s *settings) { s.draining = f })
}

// WithAppended has a Recorder call f after each append. f must not block.
func WithAppended(f func()) Option {
	return optionFunc(func(s *settings) { s.appended = f })
}

func withInstruments(m *instruments) Option {
	return optionFunc(func(s *settings) { s.metrics = m })
}
