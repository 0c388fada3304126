package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/keelson-dev/keelson/services/user/repository"
	"github.com/keelson-dev/keelson/services/user/repository/internal/core"
)

const (
	selectImported = "SELECT sequence, user_id, user_uid, hash FROM user_import_items WHERE scope = $1 AND import_id = $2 AND sequence BETWEEN $3 AND $4 AND expire_time > $5"

	// insertImported stores users, their events and their records. Rows go in
	// by ID, so that imports of the same users wait for each other in one
	// order.
	insertImported = `WITH item AS (
			SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::smallint[], $11::text[], $16::bytea[])
			AS t (sequence, id, uid, email, email_key, display_name, given_name, family_name, labels, state, after, hash)
		), stored AS (
			INSERT INTO users (id, uid, version, email, email_key, display_name, given_name, family_name, labels, state, create_time, update_time)
			SELECT id, uid, 1, email, email_key, display_name, given_name, family_name, labels::jsonb, state, $12::timestamptz, $12::timestamptz FROM item ORDER BY id
			ON CONFLICT DO NOTHING RETURNING id
		), event AS (
			INSERT INTO user_event_queue (kind, time, after) SELECT 1, $12::timestamptz, item.after FROM stored JOIN item USING (id)
		), record AS (
			INSERT INTO user_import_items (scope, import_id, sequence, user_id, user_uid, expire_time, hash)
			SELECT $13::text, $14::text, item.sequence, item.id, item.uid, $15::timestamptz, item.hash FROM stored JOIN item USING (id)
			ON CONFLICT (scope, import_id, sequence) DO UPDATE SET user_id = excluded.user_id, user_uid = excluded.user_uid, hash = excluded.hash, expire_time = excluded.expire_time
		)
		SELECT id FROM stored`

	// hashJoins keeps the planner, which takes every array for a short one,
	// from comparing each item with each stored user.
	hashJoins = "SET LOCAL enable_nestloop = off"

	selectHolders = "SELECT id, delete_time IS NOT NULL FROM users WHERE id = ANY($1)"
)

// Import implements repository.Users.
func (s *Store) Import(ctx context.Context, b repository.ImportBatch) ([]repository.ImportResult, error) {
	if err := core.CheckBatch(&b); err != nil || len(b.Items) == 0 {
		return nil, err
	}
	var results []repository.ImportResult
	err := s.transact(ctx, "import", func(ctx context.Context, a *attempt) (err error) {
		i := importer{a: a, batch: &b, now: s.now(), results: make([]repository.ImportResult, len(b.Items))}
		results = i.results
		return i.run(ctx)
	})
	if err != nil {
		return nil, err
	}
	s.changed.Signal()
	return results, nil
}

// importer is one attempt to import a batch.
type importer struct {
	a       *attempt
	batch   *repository.ImportBatch
	now     time.Time
	results []repository.ImportResult
}

func (i *importer) run(ctx context.Context) error {
	done, err := i.imported(ctx)
	if err != nil {
		return err
	}
	var c columns
	for n := range i.batch.Items {
		item := &i.batch.Items[n]
		i.results[n] = repository.ImportResult{Sequence: item.Sequence}
		if r, ok := done[item.Sequence]; ok {
			i.results[n] = r.Answer(item)
			continue
		}
		if err := item.User.Check(); err != nil {
			i.results[n].Err = err
			continue
		}
		if c.clashes(&item.User) { // the earlier one goes first
			if err := i.store(ctx, &c); err != nil {
				return err
			}
		}
		if err := c.add(n, item, i.now); err != nil {
			return err
		}
	}
	if err := i.store(ctx, &c); err != nil {
		return err
	}
	i.a.committing = true
	_, err = i.a.conn.Exec(ctx, "COMMIT")
	return err
}

// imported begins, takes the lock of the import, and returns the items that
// are stored already.
func (i *importer) imported(ctx context.Context) (map[int64]core.Recorded, error) {
	low, high := core.SequenceRange(i.batch)
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue(hashJoins)
	b.Queue(lockXact, lockKey("import", i.batch.Scope, i.batch.ID))
	b.Queue(selectImported, i.batch.Scope, i.batch.ID, low, high, i.now)
	var done map[int64]core.Recorded
	err := i.a.send(ctx, b, func(r pgx.BatchResults) error {
		if err := skip(r, 3); err != nil {
			return err
		}
		rows, err := r.Query()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			res := core.Recorded{Result: repository.ImportResult{Replayed: true}}
			if err := rows.Scan(&res.Result.Sequence, &res.Result.ID, &res.Result.UID, &res.Hash); err != nil {
				return err
			}
			if done == nil {
				done = map[int64]core.Recorded{}
			}
			done[res.Result.Sequence] = res
		}
		return rows.Err()
	})
	return done, err
}

// store stores the collected items in one statement and answers them.
func (i *importer) store(ctx context.Context, c *columns) error {
	if len(c.item) == 0 {
		return nil
	}
	rows, err := i.a.conn.Query(ctx, insertImported, c.sequence, c.id, c.uid, c.email, c.emailKey, c.displayName, c.givenName, c.familyName,
		c.labels, c.state, c.after, i.now, i.batch.Scope, i.batch.ID, i.now.Add(repository.RequestTTL), c.hash)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	stored := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		stored[id] = struct{}{}
	}
	var refused []int
	for k, n := range c.item {
		if _, ok := stored[c.id[k]]; ok {
			i.results[n].ID, i.results[n].UID = c.id[k], c.uid[k]
		} else {
			refused = append(refused, n)
		}
	}
	*c = columns{}
	if len(refused) == 0 {
		return nil
	}
	return i.refuse(ctx, refused)
}

// refuse says of each item what kept it from being stored.
func (i *importer) refuse(ctx context.Context, items []int) error {
	ids := make([]string, len(items))
	for k, n := range items {
		ids[k] = i.batch.Items[n].User.ID
	}
	rows, err := i.a.conn.Query(ctx, selectHolders, ids)
	if err != nil {
		return err
	}
	defer rows.Close()
	holders := map[string]bool{}
	for rows.Next() {
		var id string
		var deleted bool
		if err := rows.Scan(&id, &deleted); err != nil {
			return err
		}
		holders[id] = deleted
	}
	for _, n := range items {
		u := &i.batch.Items[n].User
		taken := &repository.ExistsError{Field: repository.ConflictEmail, Value: u.EmailKey}
		if deleted, ok := holders[u.ID]; ok {
			taken = &repository.ExistsError{Field: repository.ConflictID, Value: u.ID, Deleted: deleted}
		}
		i.results[n].Err = taken
	}
	return rows.Err()
}

// columns are items turned by ninety degrees, as unnest takes them.
type columns struct {
	item        []int
	sequence    []int64
	id, uid     []string
	email       []string
	emailKey    []string
	displayName []string
	givenName   []string
	familyName  []string
	labels      []string
	state       []int16
	after       []string
	hash        [][]byte
	seen        map[string]struct{}
}

// clashes reports whether u has the ID or the e-mail of a collected user.
func (c *columns) clashes(u *repository.User) bool {
	_, id := c.seen["i"+u.ID]
	_, email := c.seen["e"+u.EmailKey]
	return id || email && u.EmailKey != ""
}

func (c *columns) add(n int, item *repository.ImportItem, now time.Time) error {
	u, err := core.NewUser(&item.User, now)
	if err != nil {
		return err
	}
	labels, err := core.EncodeLabels(u.Labels)
	if err != nil {
		return err
	}
	after, err := core.EncodeUser(&u)
	if err != nil {
		return err
	}
	if c.seen == nil {
		c.seen = map[string]struct{}{}
	}
	c.seen["i"+u.ID] = struct{}{}
	c.seen["e"+u.EmailKey] = struct{}{}
	c.item = append(c.item, n)
	c.sequence = append(c.sequence, item.Sequence)
	c.id, c.uid = append(c.id, u.ID), append(c.uid, u.UID)
	c.email, c.emailKey = append(c.email, u.Email), append(c.emailKey, u.EmailKey)
	c.displayName = append(c.displayName, u.DisplayName)
	c.givenName, c.familyName = append(c.givenName, u.GivenName), append(c.familyName, u.FamilyName)
	c.labels, c.state, c.after = append(c.labels, labels), append(c.state, int16(u.State)), append(c.after, after)
	c.hash = append(c.hash, core.HashOf(item))
	return nil
}
