package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	takeLease = `INSERT INTO leases (name, owner, expire_time) VALUES ('purge', ?1, ?2)
		ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expire_time = excluded.expire_time
		WHERE owner = excluded.owner OR expire_time <= ?3`

	selectExpired = "SELECT " + core.Columns + " FROM users WHERE purge_time <= ?1 ORDER BY purge_time, id LIMIT ?2"

	deleteRequests = "DELETE FROM user_requests WHERE (scope, id) IN (SELECT scope, id FROM user_requests WHERE expire_time <= ?1 ORDER BY expire_time LIMIT ?2)"
	deleteImports  = `DELETE FROM user_import_items WHERE (scope, import_id, sequence) IN
		(SELECT scope, import_id, sequence FROM user_import_items WHERE expire_time <= ?1 ORDER BY expire_time LIMIT ?2)`

	selectOldest = "SELECT revision, time FROM user_events ORDER BY revision LIMIT ?1"
	deleteEvents = "DELETE FROM user_events WHERE revision <= ?1"
	setCompacted = "UPDATE change_stream SET compacted = ?1"
)

// Purge implements repository.Store.
func (s *Store) Purge(ctx context.Context, p repository.PurgeRound) (repository.PurgeResult, error) {
	if p.Lease <= 0 {
		p.Lease = time.Minute
	}
	if p.Batch <= 0 {
		p.Batch = 500
	}
	return write(ctx, s, func(t *txn) (repository.PurgeResult, error) {
		r, err := t.purge(p)
		return r, fail("purge", err)
	})
}

func (t *txn) purge(p repository.PurgeRound) (r repository.PurgeResult, err error) {
	now := t.now.UnixMicro()
	n, err := t.execN(takeLease, p.Owner, t.now.Add(p.Lease).UnixMicro(), now)
	if err != nil || n == 0 {
		return r, err
	}
	r.Held = true
	if r.Users, err = t.purgeUsers(now, p.Batch); err != nil {
		return r, err
	}
	if n, err = t.execN(deleteRequests, now, p.Batch); err != nil {
		return r, err
	}
	r.Requests = int(n)
	if n, err = t.execN(deleteImports, now, p.Batch); err != nil {
		return r, err
	}
	r.Imports = int(n)
	if r.Events, err = t.compact(p); err != nil {
		return r, err
	}
	r.More = max(r.Users, r.Requests, r.Imports, r.Events) >= p.Batch
	return r, nil
}

func (t *txn) purgeUsers(now int64, batch int) (int, error) {
	rows, err := t.query(selectExpired, now, batch)
	if err != nil {
		return 0, err
	}
	users, err := readUsers(rows)
	if err != nil {
		return 0, err
	}
	for i := range users {
		u := &users[i]
		if err := t.exec(deleteUser, u.ID); err != nil {
			return 0, err
		}
		if err := t.event(repository.EventPurged, u, u); err != nil {
			return 0, err
		}
	}
	return len(users), nil
}

// compact removes the oldest events that are too old or too many.
func (t *txn) compact(p repository.PurgeRound) (int, error) {
	if p.EventAge <= 0 && p.EventCount <= 0 {
		return 0, nil
	}
	var h repository.Head
	if err := t.row(selectHead, []any{&h.Epoch, &h.Compacted, &h.Revision}); err != nil {
		return 0, err
	}
	rows, err := t.query(selectOldest, p.Batch)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var cut int64
	var n int
	for rows.Next() {
		var revision, at int64
		if err := rows.Scan(&revision, &at); err != nil {
			return 0, err
		}
		old := p.EventAge > 0 && at < t.now.Add(-p.EventAge).UnixMicro()
		many := p.EventCount > 0 && revision <= h.Revision-p.EventCount
		if !old && !many {
			break
		}
		cut = revision
		n++
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || n == 0 {
		return 0, err
	}
	if err := t.exec(deleteEvents, cut); err != nil {
		return 0, err
	}
	return n, t.exec(setCompacted, cut)
}
