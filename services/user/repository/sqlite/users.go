package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	selectUser = "SELECT " + core.Columns + " FROM users WHERE id = ?1"
	insertUser = "INSERT INTO users (" + core.Columns + ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
	updateUser = "UPDATE users SET (" + core.Columns + ") = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) WHERE id = ?1"
	deleteUser = "DELETE FROM users WHERE id = ?1"

	insertEvent = "INSERT INTO user_events (kind, time, after, before) VALUES (?1, ?2, ?3, ?4)"

	selectRequest = "SELECT method, hash, response FROM user_requests WHERE scope = ?1 AND id = ?2 AND expire_time > ?3"
	insertRequest = "INSERT OR REPLACE INTO user_requests (scope, id, method, hash, response, expire_time) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
)

// Create implements repository.Users.
func (s *Store) Create(ctx context.Context, u repository.User, w repository.Write) (repository.Result, error) {
	return s.apply(ctx, core.Op{Kind: core.OpCreate, ID: u.ID, Insert: &u, Write: w})
}

// Update implements repository.Users.
func (s *Store) Update(ctx context.Context, id string, mutate func(*repository.User) error, insert *repository.User, w repository.Write) (repository.Result, error) {
	return s.apply(ctx, core.Op{Kind: core.OpUpdate, ID: id, Mutate: mutate, Insert: insert, Write: w})
}

// Delete implements repository.Users.
func (s *Store) Delete(ctx context.Context, id string, ttl time.Duration, w repository.Write) (repository.Result, error) {
	return s.apply(ctx, core.Op{Kind: core.OpDelete, ID: id, TTL: ttl, Write: w})
}

// Undelete implements repository.Users.
func (s *Store) Undelete(ctx context.Context, id string, w repository.Write) (repository.Result, error) {
	return s.apply(ctx, core.Op{Kind: core.OpUndelete, ID: id, Write: w})
}

// SetState implements repository.Users.
func (s *Store) SetState(ctx context.Context, id string, state repository.State, w repository.Write) (repository.Result, error) {
	return s.apply(ctx, core.Op{Kind: core.OpSetState, ID: id, State: state, Write: w})
}

// errDryRun ends a transaction that must leave nothing behind.
var errDryRun = errors.New("dry run")

// apply does one write.
func (s *Store) apply(ctx context.Context, op core.Op) (repository.Result, error) {
	if err := op.Check(); err != nil {
		return repository.Result{}, err
	}
	var dry repository.Result
	r, err := write(ctx, s, func(t *txn) (repository.Result, error) {
		r, err := t.apply(&op)
		if err == nil && op.Write.DryRun {
			dry, err = r, errDryRun
		}
		return r, err
	})
	if errors.Is(err, errDryRun) {
		return dry, nil
	}
	return r, err
}

func (t *txn) apply(op *core.Op) (repository.Result, error) {
	if req := op.Write.Request; req != nil && !op.Write.DryRun {
		r, err := t.replay(req)
		if err != nil || r.Replayed {
			return r, err
		}
	}
	cur, err := t.get(op.ID)
	if err != nil {
		return repository.Result{}, fail("read the user", err)
	}
	effect, err := op.Apply(cur, t.now)
	if err != nil {
		return repository.Result{}, err
	}
	if effect.Kind != 0 {
		if err := t.store(&effect); err != nil {
			return repository.Result{}, err
		}
	}
	if op.Write.DryRun {
		return effect.Result, nil
	}
	if err := effect.Finish(&op.Write); err != nil {
		return repository.Result{}, err
	}
	if req := op.Write.Request; req != nil {
		hash := append([]byte{}, req.Hash...) // never NULL
		err := t.exec(insertRequest, req.Scope, req.ID, req.Method, hash, effect.Result.Response, t.now.Add(repository.RequestTTL).UnixMicro())
		if err != nil {
			return repository.Result{}, fail("remember the request", err)
		}
	}
	return effect.Result, nil
}

// replay returns the answer to a request that was done before.
func (t *txn) replay(req *repository.Request) (repository.Result, error) {
	var method string
	var hash, response []byte
	err := t.row(selectRequest, []any{&method, &hash, &response}, req.Scope, req.ID, t.now.UnixMicro())
	if errors.Is(err, sql.ErrNoRows) {
		return repository.Result{}, nil
	}
	if err != nil {
		return repository.Result{}, fail("look the request up", err)
	}
	if method != req.Method || !bytes.Equal(hash, req.Hash) {
		return repository.Result{}, repository.ErrRequestReused
	}
	return repository.Result{Replayed: true, Response: response}, nil
}

// get returns a user or nil.
func (t *txn) get(id string) (*repository.User, error) {
	var r row
	err := t.row(selectUser, r.dest(), id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	u, err := r.user()
	return &u, err
}

// store writes the user and its event.
func (t *txn) store(e *core.Effect) error {
	u := &e.Result.User
	values, err := userValues(u)
	if err != nil {
		return err
	}
	text := insertUser
	if e.Before != nil {
		text = updateUser
	}
	if err := t.exec(text, values...); err != nil {
		var taken *repository.ExistsError
		if errors.As(Classify(err), &taken) {
			taken.Value = u.ID
			if taken.Field == repository.ConflictEmail {
				taken.Value = u.EmailKey
			}
			return taken
		}
		return fail("store the user", err)
	}
	return t.event(e.Kind, u, e.Before)
}

// event writes the event of a change.
func (t *txn) event(kind repository.EventKind, u, before *repository.User) error {
	after, err := core.EncodeUser(u)
	if err != nil {
		return err
	}
	was, err := core.EncodeBefore(before)
	if err != nil {
		return err
	}
	t.changed = true
	return fail("store the event", t.exec(insertEvent, int64(kind), t.now.UnixMicro(), after, was))
}

// fail is wrap for errors inside a write, which has no context of its own.
func fail(doing string, err error) error { return wrap(context.Background(), doing, err) }

// Get implements repository.Users.
func (s *Store) Get(ctx context.Context, id string) (repository.User, error) {
	stmt, err := s.stmts.get(ctx, selectUser)
	if err != nil {
		return repository.User{}, wrap(ctx, "get a user", err)
	}
	var r row
	err = stmt.QueryRowContext(ctx, id).Scan(r.dest()...)
	if errors.Is(err, sql.ErrNoRows) && ctx.Err() == nil {
		return repository.User{}, &repository.NotFoundError{ID: id}
	}
	if err != nil {
		return repository.User{}, wrap(ctx, "get a user", err)
	}
	return r.user()
}

// BatchGet implements repository.Users.
func (s *Store) BatchGet(ctx context.Context, ids []string) ([]repository.User, error) {
	users := make([]repository.User, 0, len(ids))
	err := s.snapshot(ctx, func(tx *sql.Tx) error {
		for i, id := range ids {
			var r row
			err := tx.QueryRowContext(ctx, selectUser, id).Scan(r.dest()...)
			if errors.Is(err, sql.ErrNoRows) && ctx.Err() == nil {
				return &repository.NotFoundError{ID: id, Index: i}
			}
			if err != nil {
				return err
			}
			u, err := r.user()
			if err != nil {
				return err
			}
			users = append(users, u)
		}
		return nil
	})
	if err != nil {
		return nil, wrapRead(ctx, "get users", err)
	}
	return users, nil
}

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
	err = s.snapshot(ctx, func(tx *sql.Tx) error {
		head, err := readHead(ctx, tx)
		if err != nil {
			return err
		}
		page.Revision = head.Revision
		rows, err := tx.QueryContext(ctx, text, args...)
		if err != nil {
			return err
		}
		page.Users, err = readUsers(rows)
		return err
	})
	if err != nil {
		return repository.Page{}, wrapRead(ctx, "list users", err)
	}
	if len(page.Users) > q.Limit {
		page.Users = page.Users[:q.Limit]
		page.Next = core.Key(q.Order, &page.Users[q.Limit-1])
	}
	return page, nil
}

// snapshot runs f on one state of the database.
func (s *Store) snapshot(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // it only read
	return f(tx)
}

// wrapRead is wrap that lets errors of the domain pass.
func wrapRead(ctx context.Context, doing string, err error) error {
	if errors.Is(err, repository.ErrNotFound) || errors.Is(err, repository.ErrCompacted) {
		return err
	}
	return wrap(ctx, doing, err)
}

func readUsers(rows *sql.Rows) ([]repository.User, error) {
	defer rows.Close()
	var users []repository.User
	for rows.Next() {
		var r row
		if err := rows.Scan(r.dest()...); err != nil {
			return nil, err
		}
		u, err := r.user()
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, rows.Err()
}

// row is a user as the columns hold it.
type row struct {
	u                     repository.User
	text                  string
	create, update        int64
	deleteTime, purgeTime sql.NullInt64
}

func (r *row) dest() []any {
	return []any{
		&r.u.ID, &r.u.UID, &r.u.Version, &r.u.Email, &r.u.EmailKey, &r.u.DisplayName, &r.u.GivenName,
		&r.u.FamilyName, &r.text, &r.u.State, &r.create, &r.update, &r.deleteTime, &r.purgeTime,
	}
}

func (r *row) user() (repository.User, error) {
	var err error
	if r.u.Labels, err = core.DecodeLabels([]byte(r.text)); err != nil {
		return r.u, fmt.Errorf("read user %s: %w", r.u.ID, err)
	}
	r.u.CreateTime, r.u.UpdateTime = time.UnixMicro(r.create).UTC(), time.UnixMicro(r.update).UTC()
	if r.deleteTime.Valid {
		r.u.DeleteTime = time.UnixMicro(r.deleteTime.Int64).UTC()
	}
	if r.purgeTime.Valid {
		r.u.PurgeTime = time.UnixMicro(r.purgeTime.Int64).UTC()
	}
	return r.u, nil
}

func userValues(u *repository.User) ([]any, error) {
	labels, err := core.EncodeLabels(u.Labels)
	if err != nil {
		return nil, err
	}
	return []any{
		u.ID, u.UID, u.Version, u.Email, u.EmailKey, u.DisplayName, u.GivenName, u.FamilyName, labels,
		int64(u.State), u.CreateTime.UnixMicro(), u.UpdateTime.UnixMicro(), nullTime(u.DeleteTime), nullTime(u.PurgeTime),
	}, nil
}

func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}
