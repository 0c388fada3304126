package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	selectHead = "SELECT epoch, compacted, coalesce((SELECT max(revision) FROM user_events), compacted) FROM change_stream"

	selectEvents = "SELECT revision, kind, time, after, before FROM user_events WHERE revision > ?1 ORDER BY revision LIMIT ?2"
)

// How often Wait looks whether another process has written: at first, and
// when nothing has happened for a while. A look costs about 10 µs.
const (
	minPoll = 5 * time.Millisecond
	maxPoll = 25 * time.Millisecond
)

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readHead(ctx context.Context, q querier) (repository.Head, error) {
	var h repository.Head
	err := q.QueryRowContext(ctx, selectHead).Scan(&h.Epoch, &h.Compacted, &h.Revision)
	return h, err
}

// Head implements repository.Changes.
func (s *Store) Head(ctx context.Context) (repository.Head, error) {
	h, err := readHead(ctx, s.readers)
	return h, wrap(ctx, "read the head", err)
}

// Events implements repository.Changes.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]repository.Event, error) {
	var events []repository.Event
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		head, err := readHead(ctx, tx)
		if err != nil {
			return err
		}
		if after < head.Compacted {
			return &repository.CompactedError{Compacted: head.Compacted, Asked: after}
		}
		rows, err := tx.QueryContext(ctx, selectEvents, after, limit)
		if err != nil {
			return err
		}
		events, err = readEvents(rows)
		return err
	})
	return events, wrapRead(ctx, "read events", err)
}

func readEvents(rows *sql.Rows) ([]repository.Event, error) {
	defer rows.Close()
	var events []repository.Event
	for rows.Next() {
		var revision, at int64
		var kind repository.EventKind
		var after, before sql.RawBytes
		if err := rows.Scan(&revision, &kind, &at, &after, &before); err != nil {
			return nil, err
		}
		ev, err := core.DecodeEvent(revision, kind, time.UnixMicro(at).UTC(), after, before)
		if err != nil {
			return nil, err
		}
		events = append(events, ev)
	}
	return events, rows.Err()
}

// Wait implements repository.Changes. Changes of this process wake it; those
// of others show in SQLite's data_version.
func (s *Store) Wait(ctx context.Context, after int64) (repository.Head, error) {
	conn, err := s.pollers.Conn(ctx)
	if err != nil {
		return repository.Head{}, wrap(ctx, "wait for a change", err)
	}
	defer conn.Close()
	var seen int64 = -1
	timer := time.NewTimer(minPoll)
	defer timer.Stop()
	for pause := minPoll; ; pause = min(pause+pause/4, maxPoll) {
		changed, closed := s.changed.Next()
		if closed {
			return repository.Head{}, errClosed
		}
		var version int64
		if err := conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&version); err != nil {
			return repository.Head{}, wrap(ctx, "wait for a change", err)
		}
		if version != seen {
			seen, pause = version, minPoll
			head, err := readHead(ctx, conn)
			if err != nil || head.Revision > after {
				return head, wrap(ctx, "wait for a change", err)
			}
		}
		timer.Reset(pause)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return repository.Head{}, wrap(ctx, "wait for a change", ctx.Err())
		}
	}
}
