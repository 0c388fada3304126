package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

// List implements repository.Users.
func (s *Store) List(ctx context.Context, q repository.Query) (repository.Page, error) {
	var page repository.Page
	var err error
	if q.Limit < 1 {
		return page, &repository.InvalidError{Field: "Query.Limit", Problem: "must be at least 1"}
	}
	if q.Order, err = core.FullOrder(q.Order); err != nil {
		return page, err
	}
	text, args, err := core.List(dialect(), q)
	if err != nil {
		return page, err
	}
	err = s.transact(ctx, "list users", func(ctx context.Context, a *attempt) error {
		if q.Exact {
			return a.exactPage(ctx, &page, text, args)
		}
		b := &pgx.Batch{}
		b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
		b.Queue(selectRevision)
		b.Queue(text, args...)
		b.Queue("COMMIT")
		return a.send(ctx, b, readPage(&page, 1))
	})
	if err != nil {
		return repository.Page{}, err
	}
	if len(page.Users) > q.Limit {
		page.Users = page.Users[:q.Limit]
		page.Next = core.Key(q.Order, &page.Users[q.Limit-1])
	}
	return page, nil
}

// exactPage numbers all events of the page's own snapshot. The sequencer's
// lock is taken before the snapshot, so nobody else numbers meanwhile; it is
// a lock of the session and ends with it when anything goes wrong.
func (a *attempt) exactPage(ctx context.Context, page *repository.Page, text string, args []any) error {
	if _, err := a.conn.Exec(ctx, "SELECT pg_advisory_lock($1)", lockSequencer); err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ")
	b.Queue(numberEvents, nil)
	b.Queue(selectRevision)
	b.Queue(text, args...)
	b.Queue("COMMIT")
	err := a.send(ctx, b, readPage(page, 2))
	if err == nil {
		_, err = a.conn.Exec(ctx, "SELECT pg_advisory_unlock($1)", lockSequencer)
	}
	if err != nil {
		_ = a.conn.Close(context.WithoutCancel(ctx)) // lets go of the lock
	}
	return err
}

// readPage reads the revision and the users after n other results.
func readPage(page *repository.Page, n int) func(pgx.BatchResults) error {
	return func(r pgx.BatchResults) error {
		if err := skip(r, n); err != nil {
			return err
		}
		if err := r.QueryRow().Scan(&page.Revision); err != nil {
			return err
		}
		rows, err := r.Query()
		if err != nil {
			return err
		}
		page.Users, err = readUsers(rows)
		return err
	}
}
