package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

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
