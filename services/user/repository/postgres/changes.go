package postgres

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	selectHead     = "SELECT epoch, compacted, revision, EXISTS (SELECT FROM user_event_queue) FROM change_stream"
	selectRevision = "SELECT revision, EXISTS (SELECT FROM user_event_queue) FROM change_stream"
	selectEvents   = "SELECT revision, kind, time, after, before FROM user_events WHERE revision > $1 ORDER BY revision LIMIT $2"

	// numberEvents moves the first $1 committed events (all when NULL) from
	// the queue into the stream. It runs under a lock taken before its
	// snapshot: lockSequencer, for which numberers queue, or one on the table,
	// which they respect.
	numberEvents = `WITH taken AS (
			DELETE FROM user_event_queue WHERE seq IN (SELECT seq FROM user_event_queue ORDER BY seq LIMIT $1)
			RETURNING seq, kind, time, after, before
		), n AS (SELECT count(*) AS c FROM taken
		), head AS (
			UPDATE change_stream SET revision = revision + n.c FROM n WHERE n.c > 0 RETURNING revision - n.c AS base
		)
		INSERT INTO user_events (revision, kind, time, after, before)
		SELECT head.base + row_number() OVER (ORDER BY seq), kind, time, after, before FROM taken, head`
)

const (
	// numberBatch bounds the events numbered in one transaction.
	numberBatch = 2000
	// channel is what a sequencer notifies when it has numbered events. It
	// is only a hint, sent outside of every writing transaction.
	channel = "keelson_user_events"

	minPoll = 5 * time.Millisecond
	maxPoll = 100 * time.Millisecond
)

// Head implements repository.Changes.
func (s *Store) Head(ctx context.Context) (repository.Head, error) {
	p, err := s.pool()
	if err != nil {
		return repository.Head{}, err
	}
	h, _, err := s.head(ctx, p, math.MaxInt64)
	return h, wrap(ctx, "read the head", err)
}

// querier is a pool or a connection.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// head returns where the stream stands. It numbers first: until the stream is as
// long as is enough, or all that was committed before the call has its number.
// Who wants the next changes must not wait for the last one of a long queue.
func (s *Store) head(ctx context.Context, q querier, enough int64) (h repository.Head, numbered bool, err error) {
	for all := false; ; {
		var pending bool
		if err := q.QueryRow(ctx, selectHead).Scan(&h.Epoch, &h.Compacted, &h.Revision, &pending); err != nil {
			return h, numbered, err
		}
		if !pending || all || h.Revision >= enough {
			return h, numbered, nil
		}
		n, err := number(ctx, q)
		if err != nil {
			return h, numbered, err
		}
		all, numbered = n < numberBatch, numbered || n > 0
	}
}

// number numbers a batch of events, in one round trip.
func number(ctx context.Context, q querier) (n int64, err error) {
	b := &pgx.Batch{} // without BEGIN a batch is one transaction
	b.Queue(lockXact, lockSequencer)
	b.Queue(numberEvents, int64(numberBatch))
	r := q.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := skip(r, 1); err != nil {
		return 0, err
	}
	tag, err := r.Exec()
	return tag.RowsAffected(), err
}

// Events implements repository.Changes.
func (s *Store) Events(ctx context.Context, after int64, limit int) ([]repository.Event, error) {
	p, err := s.pool()
	if err != nil {
		return nil, err
	}
	if _, _, err := s.head(ctx, p, after+int64(limit)); err != nil {
		return nil, wrap(ctx, "number events", err)
	}
	events, err := readEvents(ctx, p, after, limit)
	return events, wrap(ctx, "read events", err)
}

// readEvents reads the events before the point of compaction: what is
// compacted between the two is told, never skipped.
func readEvents(ctx context.Context, p *pgxpool.Pool, after int64, limit int) (events []repository.Event, err error) {
	b := &pgx.Batch{}
	b.Queue(selectEvents, after, limit)
	b.Queue("SELECT compacted FROM change_stream")
	r := p.SendBatch(ctx, b)
	defer func() { err = errors.Join(err, r.Close()) }()
	rows, err := r.Query()
	if err != nil {
		return nil, err
	}
	if events, err = scanEvents(rows); err != nil {
		return nil, err
	}
	var compacted int64
	if err := r.QueryRow().Scan(&compacted); err != nil {
		return nil, err
	}
	if after < compacted {
		return nil, &repository.CompactedError{Compacted: compacted, Asked: after}
	}
	return events, nil
}

func scanEvents(rows pgx.Rows) ([]repository.Event, error) {
	defer rows.Close()
	var events []repository.Event
	for rows.Next() {
		var revision int64
		var kind int16
		var at time.Time
		var after, before []byte
		if err := rows.Scan(&revision, &kind, &at, &after, &before); err != nil {
			return nil, err
		}
		ev, err := core.DecodeEvent(revision, repository.EventKind(kind), at.UTC(), after, before)
		if err != nil {
			return nil, err
		}
		events = append(events, ev)
	}
	return events, rows.Err()
}

// Wait implements repository.Changes. Changes of this process wake it, those
// of others by a notification of whoever numbered them; when both fail it
// looks by itself every 5 to 100 ms, the less often the less happens.
func (s *Store) Wait(ctx context.Context, after int64) (repository.Head, error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return repository.Head{}, wrap(ctx, "wait for a change", err)
	}
	defer conn.Release()
	h, err := s.wait(ctx, conn.Conn(), after)
	if err == nil {
		_, err = conn.Exec(ctx, "UNLISTEN "+channel)
	}
	if err != nil {
		_ = conn.Conn().Close(context.WithoutCancel(ctx)) // it may still listen
		return repository.Head{}, wrap(ctx, "wait for a change", err)
	}
	return h, nil
}

func (s *Store) wait(ctx context.Context, conn *pgx.Conn, after int64) (repository.Head, error) {
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return repository.Head{}, err
	}
	for pause := minPoll; ; pause = min(pause+pause/4, maxPoll) {
		changed, closed := s.changed.Next()
		if closed {
			return repository.Head{}, errClosed
		}
		h, numbered, err := s.head(ctx, conn, after+1)
		if err != nil {
			return h, err
		}
		if numbered {
			if _, err := conn.Exec(ctx, "NOTIFY "+channel); err != nil {
				return h, err
			}
		}
		if h.Revision > after {
			return h, nil
		}
		if err := nap(ctx, conn, changed, pause); err != nil {
			return h, err
		}
	}
}

// nap returns after the pause, a local change or a notification.
func nap(ctx context.Context, conn *pgx.Conn, changed <-chan struct{}, pause time.Duration) error {
	napCtx, cancel := context.WithTimeout(ctx, pause)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-changed:
			cancel()
		case <-napCtx.Done():
		}
	}()
	_, err := conn.WaitForNotification(napCtx)
	woken := napCtx.Err() != nil
	cancel()
	<-done
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case woken && !conn.IsClosed():
		return nil
	}
	return err
}
