package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// The times of leases are $-arguments or, when these are NULL, the server's.
const (
	acquire = `UPDATE audit_recorder SET fence = fence + 1, owner = $1, expire_time = coalesce($2, clock_timestamp()) + $3
		WHERE owner IN ('', $1) OR expire_time <= coalesce($2::timestamptz, clock_timestamp())
			OR expire_time > coalesce($2::timestamptz, clock_timestamp()) + 2 * $3::interval
		RETURNING fence, step, position, cursor, syncing, generation`
	renew   = "UPDATE audit_recorder SET expire_time = coalesce($2::timestamptz, clock_timestamp()) + $3 WHERE fence = $1 RETURNING fence"
	release = "UPDATE audit_recorder SET owner = '', expire_time = 'epoch' WHERE fence = $1 RETURNING fence"

	// appendBatch does nothing unless its first part succeeds, which it does
	// once for each step and only under the newest lease.
	appendBatch = `WITH head AS (
			UPDATE audit_recorder SET step = step + 1, position = position + $4, cursor = $5, syncing = $6, generation = $7,
				expire_time = coalesce($8::timestamptz, clock_timestamp()) + $9
			WHERE fence = $1 AND step = $2 AND position = $3
			RETURNING step, position, coalesce($8::timestamptz, clock_timestamp()) AS now
		), gone AS (
			DELETE FROM audit_subjects USING head WHERE uid = ANY($10::text[])
		), known AS (
			INSERT INTO audit_subjects (uid, id, etag, deleted, suspended, digest, generation)
			SELECT u.*, $7 FROM head, unnest($11::text[], $12::text[], $13::text[], $14::boolean[], $15::boolean[], $16::bytea[]) AS u
			ON CONFLICT (uid) DO UPDATE SET id = excluded.id, etag = excluded.etag, deleted = excluded.deleted,
				suspended = excluded.suspended, digest = excluded.digest, generation = excluded.generation
		), added AS (
			INSERT INTO audit_changes (position, kind, user_id, user_uid, user_etag, fields, change_time, record_time, inferred, generation)
			SELECT $3 + c.place, c.kind, c.user_id, c.user_uid, c.user_etag, c.fields, coalesce(c.change_time, head.now), head.now, c.inferred, $7
			FROM head, unnest($17::smallint[], $18::text[], $19::text[], $20::text[], $21::smallint[], $22::timestamptz[], $23::boolean[])
				WITH ORDINALITY AS c (kind, user_id, user_uid, user_etag, fields, change_time, inferred, place)
		)
		SELECT step, position FROM head`

	selectSubjects = "SELECT uid, id, etag, deleted, suspended, digest FROM audit_subjects "
	ofUIDs         = "WHERE uid = ANY($1)"
	ofGenerations  = "WHERE generation < $1 ORDER BY uid LIMIT $2"
)

// Acquire implements repository.Ledger.
func (s *Store) Acquire(ctx context.Context, owner string, d time.Duration) (repository.Lease, error) {
	rows, err := query(ctx, s, "acquire the lease", func(r pgx.CollectableRow) (l repository.Lease, err error) {
		st := &l.State
		err = r.Scan(&l.Fence, &st.Step, &st.Position, &st.Cursor, &st.Syncing, &st.Generation)
		return l, err
	}, acquire, owner, s.now(), d)
	return only(rows, err, repository.ErrHeld)
}

// Renew implements repository.Ledger.
func (s *Store) Renew(ctx context.Context, fence int64, d time.Duration) error {
	rows, err := query(ctx, s, "renew the lease", pgx.RowTo[int64], renew, fence, s.now(), d)
	_, err = only(rows, err, repository.ErrFenced)
	return err
}

// Release implements repository.Ledger.
func (s *Store) Release(ctx context.Context, fence int64) error {
	_, err := query(ctx, s, "release the lease", pgx.RowTo[int64], release, fence)
	return err
}

// Append implements repository.Ledger.
func (s *Store) Append(ctx context.Context, b repository.Batch, d time.Duration) (repository.State, error) {
	args := []any{b.Fence, b.From.Step, b.From.Position, len(b.Changes), b.Cursor, b.Syncing, b.Generation, s.now(), d, b.Gone}
	args = append(append(args, subjectColumns(b.Known)...), changeColumns(b.Changes)...)
	rows, err := query(ctx, s, "append", func(r pgx.CollectableRow) (repository.State, error) {
		next := repository.State{Cursor: b.Cursor, Syncing: b.Syncing, Generation: b.Generation}
		err := r.Scan(&next.Step, &next.Position)
		return next, err
	}, appendBatch, args...)
	return only(rows, err, repository.ErrFenced)
}

// column makes one array of a part of each item.
func column[T, C any](items []T, part func(*T) C) []C {
	out := make([]C, len(items))
	for i := range items {
		out[i] = part(&items[i])
	}
	return out
}

func subjectColumns(known []repository.Subject) []any {
	type subject = repository.Subject
	return []any{
		column(known, func(u *subject) string { return u.UID }),
		column(known, func(u *subject) string { return u.ID }),
		column(known, func(u *subject) string { return u.ETag }),
		column(known, func(u *subject) bool { return u.Deleted }),
		column(known, func(u *subject) bool { return u.Suspended }),
		column(known, func(u *subject) []byte { return append([]byte{}, u.Digest...) }),
	}
}

func changeColumns(changes []repository.Change) []any {
	type change = repository.Change
	return []any{
		column(changes, func(c *change) int16 { return int16(c.Kind) }),
		column(changes, func(c *change) string { return c.UserID }),
		column(changes, func(c *change) string { return c.UserUID }),
		column(changes, func(c *change) string { return c.UserETag }),
		column(changes, func(c *change) int16 { return int16(c.Fields) }),
		column(changes, func(c *change) *time.Time {
			if c.ChangeTime.IsZero() {
				return nil
			}
			return &c.ChangeTime
		}),
		column(changes, func(c *change) bool { return c.Inferred }),
	}
}

// Subjects implements repository.Ledger.
func (s *Store) Subjects(ctx context.Context, uids []string) (map[string]repository.Subject, error) {
	found, err := query(ctx, s, "read users", scanSubject, selectSubjects+ofUIDs, uids)
	known := make(map[string]repository.Subject, len(found))
	for _, u := range found {
		known[u.UID] = u
	}
	return known, err
}

// Unseen implements repository.Ledger.
func (s *Store) Unseen(ctx context.Context, generation int64, limit int) ([]repository.Subject, error) {
	return query(ctx, s, "read users", scanSubject, selectSubjects+ofGenerations, generation, limit)
}

func scanSubject(r pgx.CollectableRow) (u repository.Subject, err error) {
	err = r.Scan(&u.UID, &u.ID, &u.ETag, &u.Deleted, &u.Suspended, &u.Digest)
	return u, err
}
