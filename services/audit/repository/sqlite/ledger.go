package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

const (
	// free takes now and, from there, twice the time of a lease
	free    = "owner IN ('', ?1) OR expire_time <= ?2 OR expire_time > ?3"
	isFree  = "SELECT " + free + " FROM audit_recorder"
	acquire = "UPDATE audit_recorder SET fence = fence + 1, owner = ?1, expire_time = ?4 WHERE " + free + `
		RETURNING fence, step, position, cursor, syncing, generation`
	renew   = "UPDATE audit_recorder SET expire_time = ?2 WHERE fence = ?1"
	release = "UPDATE audit_recorder SET owner = '', expire_time = 0 WHERE fence = ?1"

	// advance succeeds once for each step, and only under the newest lease.
	advance = `UPDATE audit_recorder SET step = step + 1, position = position + ?3, cursor = ?4, syncing = ?5, generation = ?6, expire_time = ?7
		WHERE fence = ?1 AND step = ?2 AND position = ?8`
	insertChange  = "INSERT INTO audit_changes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
	replaceKnown  = "INSERT OR REPLACE INTO audit_subjects VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
	forgetSubject = "DELETE FROM audit_subjects WHERE uid = ?1"

	selectSubjects = "SELECT uid, id, etag, deleted, suspended, digest FROM audit_subjects "
	ofUIDs         = "WHERE uid IN (SELECT value FROM json_each(?1))"
	ofGenerations  = "WHERE generation < ?1 ORDER BY uid LIMIT ?2"
)

// Acquire implements repository.Ledger. It looks before it writes: those who
// wait for a lease look often.
func (s *Store) Acquire(ctx context.Context, owner string, d time.Duration) (l repository.Lease, err error) {
	var may bool
	now := s.now()
	most := now + 2*d.Microseconds()
	if err := s.readers.QueryRowContext(ctx, isFree, owner, now, most).Scan(&may); err != nil {
		return l, wrap(ctx, "look at the lease", err)
	}
	if !may {
		return l, repository.ErrHeld
	}
	err = s.write(ctx, "acquire the lease", func(tx *sql.Tx) error {
		st := &l.State
		return tx.QueryRowContext(ctx, acquire, owner, now, most, now+d.Microseconds()).
			Scan(&l.Fence, &st.Step, &st.Position, &st.Cursor, &st.Syncing, &st.Generation)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return l, repository.ErrHeld
	}
	return l, err
}

// Renew implements repository.Ledger.
func (s *Store) Renew(ctx context.Context, fence int64, d time.Duration) error {
	return s.write(ctx, "renew the lease", func(tx *sql.Tx) error {
		return one(repository.ErrFenced)(tx.ExecContext(ctx, renew, fence, s.now()+d.Microseconds()))
	})
}

// Release implements repository.Ledger.
func (s *Store) Release(ctx context.Context, fence int64) error {
	return s.write(ctx, "release the lease", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, release, fence)
		return err
	})
}

// one returns the error of a statement, or otherwise when it changed no row.
func one(otherwise error) func(sql.Result, error) error {
	return func(r sql.Result, err error) error {
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return otherwise
	}
}

// Append implements repository.Ledger.
func (s *Store) Append(ctx context.Context, b repository.Batch, d time.Duration) (repository.State, error) {
	next := repository.State{
		Step: b.From.Step + 1, Position: b.From.Position + int64(len(b.Changes)),
		Cursor: b.Cursor, Syncing: b.Syncing, Generation: b.Generation,
	}
	err := s.write(ctx, "append", func(tx *sql.Tx) error {
		now := s.now()
		if err := one(repository.ErrFenced)(tx.ExecContext(ctx, advance, b.Fence, b.From.Step, len(b.Changes),
			b.Cursor, b.Syncing, b.Generation, now+d.Microseconds(), b.From.Position)); err != nil {
			return err
		}
		if err := appendChanges(ctx, tx, &b, now); err != nil {
			return err
		}
		return keepSubjects(ctx, tx, &b)
	})
	if err != nil {
		return repository.State{}, err
	}
	return next, nil
}

func appendChanges(ctx context.Context, tx *sql.Tx, b *repository.Batch, now int64) error {
	return each(ctx, tx, insertChange, b.Changes, func(i int, c repository.Change) []any {
		at := now
		if !c.ChangeTime.IsZero() {
			at = c.ChangeTime.UnixMicro()
		}
		return []any{b.From.Position + int64(i) + 1, c.Kind, c.UserID, c.UserUID, c.UserETag, c.Fields, at, now, c.Inferred, b.Generation}
	})
}

func keepSubjects(ctx context.Context, tx *sql.Tx, b *repository.Batch) error {
	if err := each(ctx, tx, replaceKnown, b.Known, func(_ int, u repository.Subject) []any {
		return []any{u.UID, u.ID, u.ETag, u.Deleted, u.Suspended, append([]byte{}, u.Digest...), b.Generation}
	}); err != nil {
		return err
	}
	return each(ctx, tx, forgetSubject, b.Gone, func(_ int, uid string) []any { return []any{uid} })
}

// each runs a statement for each of the items.
func each[T any](ctx context.Context, tx *sql.Tx, text string, items []T, args func(i int, item T) []any) error {
	if len(items) == 0 {
		return nil
	}
	stmt, err := tx.PrepareContext(ctx, text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	for i, item := range items {
		if _, err := stmt.ExecContext(ctx, args(i, item)...); err != nil {
			return err
		}
	}
	return nil
}

// Subjects implements repository.Ledger.
func (s *Store) Subjects(ctx context.Context, uids []string) (map[string]repository.Subject, error) {
	list, err := json.Marshal(uids)
	if err != nil {
		return nil, err
	}
	found, err := s.subjects(ctx, ofUIDs, string(list))
	known := make(map[string]repository.Subject, len(found))
	for _, u := range found {
		known[u.UID] = u
	}
	return known, err
}

// Unseen implements repository.Ledger.
func (s *Store) Unseen(ctx context.Context, generation int64, limit int) ([]repository.Subject, error) {
	return s.subjects(ctx, ofGenerations, generation, limit)
}

func (s *Store) subjects(ctx context.Context, where string, args ...any) ([]repository.Subject, error) {
	rows, err := s.readers.QueryContext(ctx, selectSubjects+where, args...)
	if err != nil {
		return nil, wrap(ctx, "read users", err)
	}
	defer rows.Close()
	var out []repository.Subject
	for rows.Next() {
		var u repository.Subject
		if err := rows.Scan(&u.UID, &u.ID, &u.ETag, &u.Deleted, &u.Suspended, &u.Digest); err != nil {
			return nil, wrap(ctx, "read users", err)
		}
		out = append(out, u)
	}
	return out, wrap(ctx, "read users", rows.Err())
}
