package sqlite

import (
	"context"
	"fmt"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	selectImported = "SELECT sequence, user_id, user_uid, hash FROM user_import_items WHERE scope = ?1 AND import_id = ?2 AND sequence BETWEEN ?3 AND ?4 AND expire_time > ?5"
	insertImported = "INSERT OR REPLACE INTO user_import_items (scope, import_id, sequence, user_id, user_uid, expire_time, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
	insertIfFree   = insertUser + " ON CONFLICT DO NOTHING"
	selectLive     = "SELECT count(*), coalesce(max(delete_time IS NOT NULL), 0) FROM users WHERE id = ?1"
)

// Import implements repository.Users.
func (s *Store) Import(ctx context.Context, b repository.ImportBatch) ([]repository.ImportResult, error) {
	if err := core.CheckBatch(&b); err != nil || len(b.Items) == 0 {
		return nil, err
	}
	return write(ctx, s, func(t *txn) ([]repository.ImportResult, error) {
		r, err := t.importBatch(&b)
		return r, fail("import", err)
	})
}

func (t *txn) importBatch(b *repository.ImportBatch) ([]repository.ImportResult, error) {
	done, err := t.imported(b)
	if err != nil {
		return nil, err
	}
	results := make([]repository.ImportResult, len(b.Items))
	for i := range b.Items {
		item := &b.Items[i]
		if r, ok := done[item.Sequence]; ok {
			results[i] = r.Answer(item)
			continue
		}
		results[i] = repository.ImportResult{Sequence: item.Sequence}
		if err := t.importItem(b, item, &results[i]); err != nil {
			return nil, err
		}
	}
	return results, nil
}

// imported returns the items of the batch that are stored already.
func (t *txn) imported(b *repository.ImportBatch) (map[int64]core.Recorded, error) {
	low, high := core.SequenceRange(b)
	rows, err := t.query(selectImported, b.Scope, b.ID, low, high, t.now.UnixMicro())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var done map[int64]core.Recorded
	for rows.Next() {
		r := core.Recorded{Result: repository.ImportResult{Replayed: true}}
		if err := rows.Scan(&r.Result.Sequence, &r.Result.ID, &r.Result.UID, &r.Hash); err != nil {
			return nil, err
		}
		if done == nil {
			done = map[int64]core.Recorded{}
		}
		done[r.Result.Sequence] = r
	}
	return done, rows.Err()
}

// importItem stores one item, or says in r why not.
func (t *txn) importItem(b *repository.ImportBatch, item *repository.ImportItem, r *repository.ImportResult) error {
	if r.Err = item.User.Check(); r.Err != nil {
		return nil
	}
	u, err := core.NewUser(&item.User, t.now)
	if err != nil {
		return err
	}
	values, err := userValues(&u)
	if err != nil {
		return err
	}
	n, err := t.execN(insertIfFree, values...)
	if err != nil {
		return fmt.Errorf("store user %s: %w", u.ID, err)
	}
	if n == 0 {
		r.Err, err = t.conflict(&u)
		return err
	}
	if err := t.event(repository.EventCreated, &u, nil); err != nil {
		return err
	}
	r.ID, r.UID = u.ID, u.UID
	return t.exec(insertImported, b.Scope, b.ID, item.Sequence, u.ID, u.UID, t.now.Add(repository.RequestTTL).UnixMicro(), core.HashOf(item))
}

// conflict says what kept a user from being stored.
func (t *txn) conflict(u *repository.User) (*repository.ExistsError, error) {
	var n int
	var deleted bool
	if err := t.row(selectLive, []any{&n, &deleted}, u.ID); err != nil {
		return nil, err
	}
	if n > 0 {
		return &repository.ExistsError{Field: repository.ConflictID, Value: u.ID, Deleted: deleted}, nil
	}
	return &repository.ExistsError{Field: repository.ConflictEmail, Value: u.EmailKey}, nil
}
