package postgres

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	selectUser    = "SELECT " + core.Columns + " FROM users WHERE id = $1"
	selectUserFor = selectUser + " FOR UPDATE"
	selectUsers   = "SELECT " + core.Columns + " FROM users WHERE id = ANY($1)"

	// The event takes its place in the queue after the row is written, hence
	// after every wait for a row or for a unique key: the order of seq is the
	// order of each user's versions.
	insertUser = "WITH w AS (INSERT INTO users (" + core.Columns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING id)" + enqueue
	updateUser = "WITH w AS (UPDATE users SET (" + core.Columns + ") = ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) WHERE id = $1 RETURNING id)" + enqueue
	enqueue    = " INSERT INTO user_event_queue (kind, time, after, before) SELECT $15::smallint, $16::timestamptz, $17::text, $18::text FROM w"

	lockXact      = "SELECT pg_advisory_xact_lock($1)"
	selectRequest = "SELECT method, hash, response FROM user_requests WHERE scope = $1 AND id = $2 AND expire_time > $3"
	insertRequest = `INSERT INTO user_requests (scope, id, method, hash, response, expire_time) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (scope, id) DO UPDATE SET method = excluded.method, hash = excluded.hash, response = excluded.response, expire_time = excluded.expire_time`
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

// apply does one write in two round trips.
func (s *Store) apply(ctx context.Context, op core.Op) (repository.Result, error) {
	if err := op.Check(); err != nil {
		return repository.Result{}, err
	}
	var result repository.Result
	err := s.transact(ctx, "write user "+op.ID, func(ctx context.Context, a *attempt) error {
		now := s.now()
		cur, replay, err := a.load(ctx, &op, now)
		if err != nil {
			return err
		}
		if replay != nil {
			result = *replay
			_, err := a.conn.Exec(ctx, "ROLLBACK")
			return err
		}
		effect, err := op.Apply(cur, now)
		if err == nil && !op.Write.DryRun {
			err = effect.Finish(&op.Write)
		}
		if err != nil {
			return domainError{err}
		}
		result = effect.Result
		return a.store(ctx, &op, &effect, now)
	})
	if err != nil {
		return repository.Result{}, err
	}
	if result.Changed && !op.Write.DryRun {
		s.changed.Signal()
	}
	return result, nil
}

// load begins, takes the lock of the request, and reads its record and the
// user, which stays locked.
func (a *attempt) load(ctx context.Context, op *core.Op, now time.Time) (cur *repository.User, replay *repository.Result, err error) {
	req := op.Write.Request
	if op.Write.DryRun {
		req = nil
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	if req != nil {
		b.Queue(lockXact, lockKey("request", req.Scope, req.ID))
		b.Queue(selectRequest, req.Scope, req.ID, now)
	}
	b.Queue(selectUserFor, op.ID)
	err = a.send(ctx, b, func(r pgx.BatchResults) error {
		if err := skip(r, 1); err != nil {
			return err
		}
		if req != nil {
			if err := skip(r, 1); err != nil {
				return err
			}
			if replay, err = readReplay(r.QueryRow(), req); err != nil {
				return err
			}
		}
		cur, err = readUser(r.QueryRow())
		return err
	})
	return cur, replay, err
}

func readReplay(row pgx.Row, req *repository.Request) (*repository.Result, error) {
	var method string
	var hash, response []byte
	err := row.Scan(&method, &hash, &response)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, err
	case method != req.Method || !bytes.Equal(hash, req.Hash):
		return nil, domainError{repository.ErrRequestReused}
	}
	return &repository.Result{Replayed: true, Response: response}, nil
}

// store writes the user, its event and the record of the request, and
// commits.
func (a *attempt) store(ctx context.Context, op *core.Op, e *core.Effect, now time.Time) error {
	b := &pgx.Batch{}
	if e.Kind != 0 {
		if err := queueChange(b, e, now); err != nil {
			return err
		}
	}
	if req := op.Write.Request; req != nil && !op.Write.DryRun {
		hash := append([]byte{}, req.Hash...) // never NULL
		b.Queue(insertRequest, req.Scope, req.ID, req.Method, hash, e.Result.Response, now.Add(repository.RequestTTL))
	}
	if op.Write.DryRun {
		b.Queue("ROLLBACK")
	} else {
		b.Queue("COMMIT")
		a.committing = true
	}
	err := a.send(ctx, b, nil)
	var taken *repository.ExistsError
	if errors.As(Classify(err), &taken) {
		if taken.Field == repository.ConflictID {
			return errAgain // created meanwhile: the next attempt sees by whom
		}
		taken.Value = e.Result.User.EmailKey
		return domainError{taken}
	}
	return err
}

// queueChange adds the statement that writes a user and its event.
func queueChange(b *pgx.Batch, e *core.Effect, now time.Time) error {
	u := &e.Result.User
	labels, err := core.EncodeLabels(u.Labels)
	if err != nil {
		return err
	}
	after, err := core.EncodeUser(u)
	if err != nil {
		return err
	}
	before, err := core.EncodeBefore(e.Before)
	if err != nil {
		return err
	}
	text := insertUser
	if e.Before != nil {
		text = updateUser
	}
	b.Queue(text, u.ID, u.UID, u.Version, u.Email, u.EmailKey, u.DisplayName, u.GivenName, u.FamilyName, labels,
		int16(u.State), u.CreateTime, u.UpdateTime, nullTime(u.DeleteTime), nullTime(u.PurgeTime),
		int16(e.Kind), now, after, before)
	return nil
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// readUser returns the user of a row, or nil when there is none.
func readUser(row pgx.Row) (*repository.User, error) {
	u, err := scanUser(row)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &u, err
}

func scanUser(row pgx.Row) (repository.User, error) {
	var u repository.User
	var labels []byte
	var state int16
	var deleted, purge *time.Time
	err := row.Scan(&u.ID, &u.UID, &u.Version, &u.Email, &u.EmailKey, &u.DisplayName, &u.GivenName, &u.FamilyName,
		&labels, &state, &u.CreateTime, &u.UpdateTime, &deleted, &purge)
	if err != nil {
		return u, err
	}
	u.State = repository.State(state)
	u.CreateTime, u.UpdateTime = u.CreateTime.UTC(), u.UpdateTime.UTC()
	if deleted != nil {
		u.DeleteTime = deleted.UTC()
	}
	if purge != nil {
		u.PurgeTime = purge.UTC()
	}
	u.Labels, err = core.DecodeLabels(labels)
	return u, err
}

func readUsers(rows pgx.Rows) ([]repository.User, error) {
	defer rows.Close()
	var users []repository.User
	for rows.Next() {
		u, err := scanUser(rows)
		if err != nil {
			return nil, err
		}
		users = append(users, u)
	}
	return users, rows.Err()
}

// Get implements repository.Users.
func (s *Store) Get(ctx context.Context, id string) (repository.User, error) {
	p, err := s.pool()
	if err != nil {
		return repository.User{}, err
	}
	if repository.CheckText("id", id) != nil {
		return repository.User{}, &repository.NotFoundError{ID: id} // it cannot be stored
	}
	u, err := scanUser(p.QueryRow(ctx, selectUser, id))
	if errors.Is(err, pgx.ErrNoRows) {
		return repository.User{}, &repository.NotFoundError{ID: id}
	}
	return u, wrap(ctx, "get a user", err)
}

// BatchGet implements repository.Users.
func (s *Store) BatchGet(ctx context.Context, ids []string) ([]repository.User, error) {
	p, err := s.pool()
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		if repository.CheckText("id", id) != nil {
			return nil, &repository.NotFoundError{ID: id, Index: i}
		}
	}
	rows, err := p.Query(ctx, selectUsers, ids)
	if err != nil {
		return nil, wrap(ctx, "get users", err)
	}
	found, err := readUsers(rows)
	if err != nil {
		return nil, wrap(ctx, "get users", err)
	}
	byID := make(map[string]*repository.User, len(found))
	for i := range found {
		byID[found[i].ID] = &found[i]
	}
	users := make([]repository.User, len(ids))
	for i, id := range ids {
		u := byID[id]
		if u == nil {
			return nil, &repository.NotFoundError{ID: id, Index: i}
		}
		users[i] = u.Clone()
	}
	return users, nil
}
