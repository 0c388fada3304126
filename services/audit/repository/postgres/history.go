package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/internal/core"
)

// query runs a statement and reads its rows, in one round trip. It waits a little
// longer than the server works on it: a server that has vanished does not answer.
func query[T any](ctx context.Context, s *Store, doing string, scan func(pgx.CollectableRow) (T, error), text string, args ...any) ([]T, error) {
	p, err := s.pool()
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, s.cfg.StatementTimeout+connectTimeout)
	defer cancel()
	rows, err := p.Query(bounded, text, args...)
	if err != nil {
		return nil, wrap(ctx, doing, err)
	}
	all, err := pgx.CollectRows(rows, scan)
	return all, wrap(ctx, doing, err)
}

// only returns the one row of a query, or otherwise when it has none.
func only[T any](rows []T, err, otherwise error) (T, error) {
	if err == nil && len(rows) == 0 {
		err = otherwise
	}
	if err != nil {
		var none T
		return none, err
	}
	return rows[0], nil
}

// Head implements repository.History.
func (s *Store) Head(ctx context.Context) (int64, error) {
	rows, err := query(ctx, s, "read the head", pgx.RowTo[int64], "SELECT position FROM audit_recorder")
	return only(rows, err, errors.New("the row of audit_recorder is missing: restore it"))
}

// Get implements repository.History.
func (s *Store) Get(ctx context.Context, position int64) (repository.Change, error) {
	rows, err := query(ctx, s, "read a change", scanChange, "SELECT "+core.Columns+" FROM audit_changes WHERE position = $1", position)
	return only(rows, err, repository.ErrNotFound)
}

// List implements repository.History.
func (s *Store) List(ctx context.Context, q repository.Query) ([]repository.Change, error) {
	text, args := core.List(dialect(), q)
	return query(ctx, s, "list changes", scanChange, text, args...)
}

// scanChange reads core.Columns.
func scanChange(r pgx.CollectableRow) (c repository.Change, err error) {
	var kind, fields int16
	err = r.Scan(&c.Position, &kind, &c.UserID, &c.UserUID, &c.UserETag, &fields, &c.ChangeTime, &c.RecordTime, &c.Inferred)
	c.Kind, c.Fields = repository.Kind(kind), repository.Fields(fields)
	c.ChangeTime, c.RecordTime = c.ChangeTime.UTC(), c.RecordTime.UTC()
	return c, err
}
