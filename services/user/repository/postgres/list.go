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
		exact, err := a.page(ctx, &page, text, args)
		if exact || err != nil || !q.Exact {
			return err
		}
		return a.exactPage(ctx, &page, text, args)
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

// page reads a page and the revision in one snapshot, in one round trip. It is
// exact when all events of the snapshot had their numbers.
func (a *attempt) page(ctx context.Context, page *repository.Page, text string, args []any) (exact bool, err error) {
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	b.Queue(selectRevision)
	b.Queue(text, args...)
	b.Queue("COMMIT")
	err = a.send(ctx, b, readPage(page, &exact, 1))
	return exact, err
}

// exactPage numbers all events of the page's own snapshot. The lock keeps others
// from numbering meanwhile; LOCK takes no snapshot, so that the one of the
// transaction is taken when the lock is held. It is one round trip: an instance
// that is stopped in the middle of it holds nobody up, because the server goes on
// without it.
func (a *attempt) exactPage(ctx context.Context, page *repository.Page, text string, args []any) error {
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ")
	b.Queue("LOCK TABLE change_stream IN SHARE ROW EXCLUSIVE MODE")
	b.Queue(numberEvents, nil)
	b.Queue(selectRevision)
	b.Queue(text, args...)
	b.Queue("COMMIT")
	return a.send(ctx, b, readPage(page, new(bool), 3))
}

// readPage reads the revision and the users after n other results, and whether
// every event of the snapshot had its number.
func readPage(page *repository.Page, exact *bool, n int) func(pgx.BatchResults) error {
	return func(r pgx.BatchResults) error {
		if err := skip(r, n); err != nil {
			return err
		}
		var pending bool
		if err := r.QueryRow().Scan(&page.Revision, &pending); err != nil {
			return err
		}
		*exact = !pending
		rows, err := r.Query()
		if err != nil {
			return err
		}
		page.Users, err = readUsers(rows)
		return err
	}
}
