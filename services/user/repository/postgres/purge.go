package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	takeLease = `INSERT INTO leases (name, owner, expire_time) VALUES ('purge', $1, $2)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expire_time = excluded.expire_time
		WHERE leases.owner = excluded.owner OR leases.expire_time <= $3`

	selectExpired = "SELECT " + core.Columns + " FROM users WHERE purge_time <= $1 ORDER BY purge_time, id LIMIT $2 FOR UPDATE SKIP LOCKED"
	deleteUser    = `WITH w AS (DELETE FROM users WHERE id = $1 RETURNING id)
		INSERT INTO user_event_queue (kind, time, after, before) SELECT $2::smallint, $3::timestamptz, $4::text, $4::text FROM w`

	deleteRequests = "DELETE FROM user_requests WHERE (scope, id) IN (SELECT scope, id FROM user_requests WHERE expire_time <= $1 ORDER BY expire_time LIMIT $2)"
	deleteImports  = `DELETE FROM user_import_items WHERE (scope, import_id, sequence) IN
		(SELECT scope, import_id, sequence FROM user_import_items WHERE expire_time <= $1 ORDER BY expire_time LIMIT $2)`

	// $1 is the batch, $2 removes older events (NULL: none), $3 keeps the
	// newest so many (NULL: all).
	compactEvents = `WITH oldest AS (SELECT revision, time FROM user_events ORDER BY revision LIMIT $1
		), stays AS (
			SELECT coalesce(min(o.revision), 9223372036854775807) AS first FROM oldest AS o, change_stream AS c
			WHERE NOT (coalesce(o.time < $2::timestamptz, false) OR coalesce(o.revision <= c.revision - $3::bigint, false))
		), gone AS (
			DELETE FROM user_events WHERE revision IN (SELECT revision FROM oldest, stays WHERE revision < stays.first) RETURNING revision
		), mark AS (
			UPDATE change_stream SET compacted = m.last FROM (SELECT max(revision) AS last FROM gone) AS m WHERE m.last IS NOT NULL
		)
		SELECT count(*) FROM gone`
)

// Purge implements repository.Store.
func (s *Store) Purge(ctx context.Context, p repository.PurgeRound) (repository.PurgeResult, error) {
	if p.Lease <= 0 {
		p.Lease = time.Minute
	}
	if p.Batch <= 0 {
		p.Batch = 500
	}
	var result repository.PurgeResult
	err := s.transact(ctx, "purge", func(ctx context.Context, a *attempt) error {
		tx, err := a.conn.Begin(ctx)
		if err != nil {
			return err
		}
		if result, err = purge(ctx, tx, p, s.now()); err != nil {
			return err
		}
		a.committing = true
		return tx.Commit(ctx)
	})
	if err != nil {
		return repository.PurgeResult{}, err
	}
	if result.Users > 0 {
		s.changed.Signal()
	}
	return result, nil
}

func purge(ctx context.Context, tx pgx.Tx, p repository.PurgeRound, now time.Time) (r repository.PurgeResult, err error) {
	tag, err := tx.Exec(ctx, takeLease, p.Owner, now.Add(p.Lease), now)
	if err != nil || tag.RowsAffected() == 0 {
		return r, err
	}
	r.Held = true
	if r.Users, err = purgeUsers(ctx, tx, p.Batch, now); err != nil {
		return r, err
	}
	if tag, err = tx.Exec(ctx, deleteRequests, now, p.Batch); err != nil {
		return r, err
	}
	r.Requests = int(tag.RowsAffected())
	if tag, err = tx.Exec(ctx, deleteImports, now, p.Batch); err != nil {
		return r, err
	}
	r.Imports = int(tag.RowsAffected())
	if r.Events, err = compact(ctx, tx, p, now); err != nil {
		return r, err
	}
	r.More = max(r.Users, r.Requests, r.Imports, r.Events) >= p.Batch
	return r, nil
}

func purgeUsers(ctx context.Context, tx pgx.Tx, batch int, now time.Time) (int, error) {
	rows, err := tx.Query(ctx, selectExpired, now, batch)
	if err != nil {
		return 0, err
	}
	users, err := readUsers(rows)
	if err != nil || len(users) == 0 {
		return 0, err
	}
	b := &pgx.Batch{}
	for i := range users {
		last, err := core.EncodeUser(&users[i])
		if err != nil {
			return 0, err
		}
		b.Queue(deleteUser, users[i].ID, int16(repository.EventPurged), now, last)
	}
	return len(users), tx.SendBatch(ctx, b).Close()
}

// compact removes the oldest events that are too old or too many. It keeps
// the sequencer out meanwhile: both change the head.
func compact(ctx context.Context, tx pgx.Tx, p repository.PurgeRound, now time.Time) (n int, err error) {
	var age *time.Time
	var count *int64
	if p.EventAge > 0 {
		at := now.Add(-p.EventAge)
		age = &at
	}
	if p.EventCount > 0 {
		count = &p.EventCount
	}
	if age == nil && count == nil {
		return 0, nil
	}
	if _, err := tx.Exec(ctx, lockXact, lockSequencer); err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, compactEvents, p.Batch, age, count).Scan(&n)
	return n, err
}
