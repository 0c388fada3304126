package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/internal/core"
)

// Head implements repository.History.
func (s *Store) Head(ctx context.Context) (position int64, err error) {
	err = s.readers.QueryRowContext(ctx, "SELECT position FROM audit_recorder").Scan(&position)
	return position, wrap(ctx, "read the head", err)
}

// Get implements repository.History.
func (s *Store) Get(ctx context.Context, position int64) (repository.Change, error) {
	c, err := scanChange(s.readers.QueryRowContext(ctx, "SELECT "+core.Columns+" FROM audit_changes WHERE position = ?1", position))
	if errors.Is(err, sql.ErrNoRows) {
		return c, repository.ErrNotFound
	}
	return c, wrap(ctx, "read a change", err)
}

// List implements repository.History.
func (s *Store) List(ctx context.Context, q repository.Query) ([]repository.Change, error) {
	text, args := core.List(dialect(), q)
	rows, err := s.readers.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, wrap(ctx, "list changes", err)
	}
	defer rows.Close()
	var changes []repository.Change
	for rows.Next() {
		c, err := scanChange(rows)
		if err != nil {
			return nil, wrap(ctx, "list changes", err)
		}
		changes = append(changes, c)
	}
	return changes, wrap(ctx, "list changes", rows.Err())
}

type row interface{ Scan(dest ...any) error }

// scanChange reads core.Columns.
func scanChange(r row) (c repository.Change, err error) {
	var changed, recorded int64
	err = r.Scan(&c.Position, &c.Kind, &c.UserID, &c.UserUID, &c.UserETag, &c.Fields, &changed, &recorded, &c.Inferred)
	c.ChangeTime, c.RecordTime = time.UnixMicro(changed).UTC(), time.UnixMicro(recorded).UTC()
	return c, err
}
