// Package postgres keeps users in PostgreSQL, which is what production runs.
//
// A write takes two round trips: one that locks and reads, one that writes
// and commits. Events are written into a queue by the writing transaction and
// numbered after its commit by whoever reads the stream, under an advisory
// lock, so that writers never wait for each other because of the stream. See
// docs/adr/0010-change-stream-order.md.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

// Config says where the users are. DSN is required.
type Config struct {
	// DSN is a connection string or URL as libpq takes it.
	DSN string
	// MaxConns bounds the connections; 0 means 16. One of them belongs to
	// Changes.Wait.
	MaxConns int32
	// ConnectTimeout bounds making one connection; 0 means 3 s.
	ConnectTimeout time.Duration
	// StatementTimeout ends statements on the server that take longer,
	// whatever the context says; 0 means 10 s.
	StatementTimeout time.Duration
	// LockTimeout bounds the wait for a row or table lock; 0 means 5 s.
	LockTimeout time.Duration
	// Now is the clock that stamps users and expires records; nil means
	// time.Now.
	Now func() time.Time
}

// Store is a repository.Store on PostgreSQL. It is safe for concurrent use.
type Store struct {
	cfg     Config
	poolCfg *pgxpool.Config
	changed core.Broadcast

	mu     sync.Mutex
	shared *pgxpool.Pool
	closed bool
}

var _ repository.Store = (*Store)(nil)

// New returns a store. It connects to nothing: call Migrate first, Close
// last.
func New(cfg Config) (*Store, error) {
	if cfg.DSN == "" {
		return nil, errors.New("postgres: Config.DSN is empty: give a connection string such as postgres://user:password@host/database")
	}
	pc, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("parse Config.DSN: %w", err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	pc.MaxConns = defaulted(cfg.MaxConns, 16)
	pc.MaxConnIdleTime = 5 * time.Minute
	pc.MaxConnLifetime = time.Hour
	pc.MaxConnLifetimeJitter = 6 * time.Minute
	cc := pc.ConnConfig
	cc.ConnectTimeout = defaulted(cfg.ConnectTimeout, 3*time.Second)
	cc.StatementCacheCapacity = 256
	params := cc.RuntimeParams
	params["statement_timeout"] = millis(defaulted(cfg.StatementTimeout, 10*time.Second))
	params["lock_timeout"] = millis(defaulted(cfg.LockTimeout, 5*time.Second))
	// An instance that stops in the middle of a transaction (SIGSTOP, a host that
	// swaps) must not keep others from the users that it has locked.
	params["idle_in_transaction_session_timeout"] = "1000"
	params["default_transaction_isolation"] = "read committed"
	params["jit"] = "off" // for statements of milliseconds; guesses about the queue would make it compile them, for 200 ms each
	if params["application_name"] == "" {
		params["application_name"] = "keelson-user"
	}
	return &Store{cfg: cfg, poolCfg: pc}, nil
}

func defaulted[T int32 | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

func millis(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

func (s *Store) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

// pool returns the pool, made by its first use.
func (s *Store) pool() (*pgxpool.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if s.shared == nil {
		p, err := pgxpool.NewWithConfig(context.Background(), s.poolCfg)
		if err != nil {
			return nil, err
		}
		s.shared = p
	}
	return s.shared, nil
}

// acquire returns a connection; the wait for one is bounded by the context.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	p, err := s.pool()
	if err != nil {
		return nil, err
	}
	return p.Acquire(ctx)
}

// Ping reports whether the server answers.
func (s *Store) Ping(ctx context.Context) error {
	p, err := s.pool()
	if err != nil {
		return err
	}
	return wrap(ctx, "ping", p.Ping(ctx))
}

// Close waits for the calls in progress, but for Wait, which it ends with an
// ErrUnavailable, and closes all connections.
func (s *Store) Close() error {
	s.changed.Close()
	s.mu.Lock()
	p := s.shared
	s.closed, s.shared = true, nil
	s.mu.Unlock()
	if p != nil {
		p.Close()
	}
	return nil
}

// dialect is PostgreSQL's SQL.
func dialect() core.Dialect {
	return core.Dialect{
		Arg:  func(n int) string { return "$" + strconv.Itoa(n) },
		Time: func(t time.Time) any { return t },
		Label: func(key string, test func(string) string) string {
			value := `(labels ->> ` + key + `::text COLLATE "C")`
			return "(labels ? " + key + "::text AND " + test(value) + ")"
		},
		Contains: func(text, part string) string { return "strpos(" + text + ", " + part + ") > 0" },
	}
}
