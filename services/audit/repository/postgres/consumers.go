package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

const (
	openConsumer = `INSERT INTO audit_consumers AS c SELECT $1::text, 1, $2::bigint, coalesce($3, clock_timestamp())
		WHERE $2 <= (SELECT position FROM audit_recorder) OR EXISTS (SELECT FROM audit_consumers WHERE name = $1)
		ON CONFLICT (name) DO UPDATE SET session = c.session + 1, update_time = excluded.update_time RETURNING session, position`
	acknowledge = `UPDATE audit_consumers SET position = greatest(position, $3), update_time = coalesce($4, clock_timestamp())
		WHERE name = $1 AND session = $2 RETURNING position`
	checkSession = "SELECT position FROM audit_consumers WHERE name = $1 AND session = $2"
)

// Open implements repository.Consumers.
func (s *Store) Open(ctx context.Context, name string, after int64) (repository.Consumer, error) {
	rows, err := query(ctx, s, "open the consumer", func(r pgx.CollectableRow) (repository.Consumer, error) {
		c := repository.Consumer{Name: name}
		err := r.Scan(&c.Session, &c.Position)
		return c, err
	}, openConsumer, name, after, s.now())
	return only(rows, err, repository.ErrAhead)
}

// Acknowledge implements repository.Consumers.
func (s *Store) Acknowledge(ctx context.Context, c repository.Consumer) error {
	rows, err := query(ctx, s, "acknowledge", pgx.RowTo[int64], acknowledge, c.Name, c.Session, c.Position, s.now())
	_, err = only(rows, err, repository.ErrTakenOver)
	return err
}

// Check implements repository.Consumers.
func (s *Store) Check(ctx context.Context, c repository.Consumer) error {
	rows, err := query(ctx, s, "look at the consumer", pgx.RowTo[int64], checkSession, c.Name, c.Session)
	_, err = only(rows, err, repository.ErrTakenOver)
	return err
}
