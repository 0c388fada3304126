package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// lazyPool is a pool that its first use makes: making one connects.
type lazyPool struct {
	mu     sync.Mutex
	pool   *pgxpool.Pool
	closed bool
}

// pool returns the pool.
func (s *Store) pool() (*pgxpool.Pool, error) {
	l := &s.lazy
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("%w: the store is closed", repository.ErrUnavailable)
	}
	if l.pool != nil {
		return l.pool, nil
	}
	p, err := pgxpool.NewWithConfig(context.Background(), s.poolCfg)
	if err != nil {
		return nil, err
	}
	l.pool = p
	return p, nil
}

// Close implements repository.Store.
func (s *Store) Close() error {
	s.lazy.mu.Lock()
	defer s.lazy.mu.Unlock()
	s.lazy.closed = true
	if s.lazy.pool != nil {
		s.lazy.pool.Close()
	}
	return nil
}

// wrap says what was being done. Errors that carry their meaning, an SQLSTATE
// or that of the network, keep it for those who know how to read it; those that
// do not get one.
func wrap(ctx context.Context, doing string, err error) error {
	var refused *pgconn.PgError
	var connecting *pgconn.ConnectError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case errors.As(err, &refused) && refused.ConstraintName == "audit_changes_once":
		return fmt.Errorf("%s: %w", doing, repository.ErrRepeated)
	case errors.As(err, &refused) && refused.Code == "57014": // by the statement_timeout, not by the caller
		return fmt.Errorf("%s: %w: %w", doing, repository.ErrUnavailable, err)
	case errors.As(err, &connecting), errors.Is(err, puddle.ErrClosedPool), errors.Is(err, context.DeadlineExceeded):
		// not %w for the cause: a connect timeout looks like the caller's own
		return fmt.Errorf("%s: %w: %v", doing, repository.ErrUnavailable, err) //nolint:errorlint // see above
	}
	return fmt.Errorf("%s: %w", doing, err)
}
