package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

const (
	openConsumer = `INSERT INTO audit_consumers SELECT ?1, 1, ?2, ?3
		WHERE ?2 <= (SELECT position FROM audit_recorder) OR EXISTS (SELECT 1 FROM audit_consumers WHERE name = ?1)
		ON CONFLICT (name) DO UPDATE SET session = session + 1, update_time = excluded.update_time RETURNING session, position`
	acknowledge  = "UPDATE audit_consumers SET position = max(position, ?3), update_time = ?4 WHERE name = ?1 AND session = ?2"
	checkSession = "SELECT 1 FROM audit_consumers WHERE name = ?1 AND session = ?2"
)

// Open implements repository.Consumers.
func (s *Store) Open(ctx context.Context, name string, after int64) (repository.Consumer, error) {
	c := repository.Consumer{Name: name}
	err := s.write(ctx, "open the consumer", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, openConsumer, name, after, s.now()).Scan(&c.Session, &c.Position)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return c, repository.ErrAhead
	}
	return c, err
}

// Acknowledge implements repository.Consumers.
func (s *Store) Acknowledge(ctx context.Context, c repository.Consumer) error {
	return s.write(ctx, "acknowledge", func(tx *sql.Tx) error {
		return one(repository.ErrTakenOver)(tx.ExecContext(ctx, acknowledge, c.Name, c.Session, c.Position, s.now()))
	})
}

// Check implements repository.Consumers.
func (s *Store) Check(ctx context.Context, c repository.Consumer) error {
	var is int
	err := s.readers.QueryRowContext(ctx, checkSession, c.Name, c.Session).Scan(&is)
	if errors.Is(err, sql.ErrNoRows) {
		return repository.ErrTakenOver
	}
	return wrap(ctx, "look at the consumer", err)
}
