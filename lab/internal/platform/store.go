package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// Stored reads the users whose names begin with a prefix, and their changes
// after a moment of the change stream, from PostgreSQL itself: what the service
// says of its store is not taken on trust.
func (p *Platform) Stored(ctx context.Context, prefix string, after int64) (users map[string]history.State, events []history.Event, err error) {
	conn, err := p.Postgres.Connect(ctx, Database)
	if err != nil {
		return nil, nil, fmt.Errorf("read PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	rows, err := conn.Query(ctx, "SELECT id, uid, version, display_name, delete_time IS NOT NULL FROM users WHERE starts_with(id, $1)", prefix+"-")
	if err != nil {
		return nil, nil, fmt.Errorf("read PostgreSQL: %w", err)
	}
	users = map[string]history.State{}
	for rows.Next() {
		var s stored
		var deleted bool
		if err := rows.Scan(&s.ID, &s.UID, &s.Version, &s.Name, &deleted); err != nil {
			return nil, nil, fmt.Errorf("read PostgreSQL: %w", err)
		}
		users["users/"+s.ID] = history.State{Etag: s.etag(), Token: s.Name, Deleted: deleted}
	}
	if rows.Err() != nil {
		return nil, nil, fmt.Errorf("read PostgreSQL: %w", rows.Err())
	}
	rows, err = conn.Query(ctx, "SELECT revision, after FROM user_events WHERE revision > $1 ORDER BY revision", after)
	if err != nil {
		return nil, nil, fmt.Errorf("read PostgreSQL: %w", err)
	}
	for rows.Next() {
		var revision int64
		var text string
		var s stored
		if err := errors.Join(rows.Scan(&revision, &text), json.Unmarshal([]byte(text), &s)); err != nil {
			return nil, nil, fmt.Errorf("read PostgreSQL: %w", err)
		}
		if strings.HasPrefix(s.ID, prefix+"-") {
			events = append(events, history.Event{Key: "users/" + s.ID, Etag: s.etag(), Token: s.Name, Deleted: s.DeleteTime != nil, Revision: strconv.FormatInt(revision, 10)})
		}
	}
	return users, events, rows.Err()
}

// Head is the present end of the change stream in PostgreSQL.
func (p *Platform) Head(ctx context.Context) (head int64, err error) {
	conn, err := p.Postgres.Connect(ctx, Database)
	if err != nil {
		return 0, fmt.Errorf("read PostgreSQL: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	err = conn.QueryRow(ctx, "SELECT coalesce(max(revision), 0) FROM user_events").Scan(&head)
	return head, err
}

// stored is a user as the user service keeps it.
type stored struct {
	ID         string          `json:"id"`
	UID        string          `json:"uid"`
	Version    int64           `json:"version"`
	Name       string          `json:"display_name"`
	DeleteTime json.RawMessage `json:"delete_time"`
}

// etag is what the service makes of it.
func (s stored) etag() string {
	return `"` + strings.ReplaceAll(s.UID, "-", "") + "-" + strconv.FormatInt(s.Version, 36) + `"`
}
