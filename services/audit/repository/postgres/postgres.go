// Package postgres keeps the history in PostgreSQL, which is what production
// runs.
//
// An append is one statement: the database never waits for the process that
// sent it, which may be stopped or gone. It begins with the one row that says
// where the history stands, and keeps it locked until the commit, so that changes
// become visible in the order of their positions. Leases are measured by the
// server's clock.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/internal/core"
)

// Config says where the history is. DSN is required.
type Config struct {
	// DSN is a connection string or URL as libpq takes it. The database may be
	// that of another service: all tables begin with audit_.
	DSN string
	// MaxConns bounds the connections; 0 means 8.
	MaxConns int32
	// StatementTimeout ends statements on the server that take longer, those
	// that wait for a lock included; 0 means 5 s.
	StatementTimeout time.Duration
	// Now is the clock that stamps changes and ends leases; nil means that of
	// the server.
	Now func() time.Time
}

// connectTimeout bounds making one connection.
const connectTimeout = 3 * time.Second

// Store is a repository.Store on PostgreSQL. It is safe for concurrent use.
type Store struct {
	cfg     Config
	poolCfg *pgxpool.Config
	lazy    lazyPool
}

var _ repository.Store = (*Store)(nil)

// New returns a store. It connects to nothing: call Migrate first, Close last.
func New(cfg Config) (*Store, error) {
	if cfg.DSN == "" {
		return nil, errors.New("postgres: Config.DSN is empty: give a connection string such as postgres://user:password@host/database")
	}
	pool, err := pgxpool.ParseConfig(cfg.DSN)
	if err != nil {
		return nil, fmt.Errorf("parse Config.DSN: %w", err)
	}
	if pool.MaxConns = cfg.MaxConns; cfg.MaxConns <= 0 {
		pool.MaxConns = 8
	}
	if cfg.StatementTimeout <= 0 {
		cfg.StatementTimeout = 5 * time.Second
	}
	pool.ConnConfig.ConnectTimeout = connectTimeout
	params := pool.ConnConfig.RuntimeParams
	params["statement_timeout"] = strconv.FormatInt(max(cfg.StatementTimeout.Milliseconds(), 1), 10)
	if params["application_name"] == "" {
		params["application_name"] = "keelson-audit"
	}
	return &Store{cfg: cfg, poolCfg: pool}, nil
}

// now is the time as an argument: NULL for the server's.
func (s *Store) now() *time.Time {
	if s.cfg.Now == nil {
		return nil
	}
	t := s.cfg.Now()
	return &t
}

// Ping implements repository.Store.
func (s *Store) Ping(ctx context.Context) error {
	p, err := s.pool()
	if err != nil {
		return err
	}
	return wrap(ctx, "ping", p.Ping(ctx))
}

//go:embed migrations/*.sql
var migrations embed.FS

// lockMigrations is the advisory lock of those who migrate.
const lockMigrations int64 = 0x6b65656c_61750001

// Migrate implements repository.Store. Other processes are kept out meanwhile by
// an advisory lock; it goes with its connection.
func (s *Store) Migrate(ctx context.Context) (err error) {
	cfg := s.poolCfg.ConnConfig.Copy()
	cfg.RuntimeParams["statement_timeout"] = "0" // the context bounds migrations
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	guard, err := db.Conn(ctx)
	if err != nil {
		return wrap(ctx, "connect to migrate", err)
	}
	defer func() { err = errors.Join(err, guard.Close()) }() // and db.Close ends its connection
	if _, err := guard.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lockMigrations); err != nil {
		return wrap(ctx, "wait for the lock of the migrations", err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true), goose.WithTableName("audit_schema"))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	_, err = p.Up(ctx)
	return wrap(ctx, "migrate", err)
}

// dialect is PostgreSQL's SQL.
func dialect() core.Dialect {
	return core.Dialect{
		Arg:  func(n int) string { return "$" + strconv.Itoa(n) },
		Time: func(t time.Time) any { return t },
	}
}
