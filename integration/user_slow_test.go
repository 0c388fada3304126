package integration_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// While somebody holds the table, callers hear that the store is slow, and when
// to come back, before their deadline passes; the instance stays ready.
func TestALockedTableIsAnsweredBeforeTheDeadline(t *testing.T) {
	p := onPostgres(t)
	i := p.run("a")
	makeUser(t, i, "anna")
	dsn := strings.TrimPrefix(p.env[1], "KEELSON_STORE__POSTGRES__DSN=")
	conn := must[*pgx.Conn](t)(pgx.Connect(bounded(t), dsn))
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tx := must[pgx.Tx](t)(conn.Begin(bounded(t)))
	if _, err := tx.Exec(bounded(t), "LOCK TABLE users IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	calls := map[string]func(context.Context) error{
		"read": func(ctx context.Context) error {
			_, err := i.GetUser(ctx, &userv1.GetUserRequest{Name: "users/anna"})
			return err
		},
		"list": func(ctx context.Context) error {
			_, err := i.ListUsers(ctx, &userv1.ListUsersRequest{})
			return err
		},
		"write": func(ctx context.Context) error {
			_, err := i.SuspendUser(ctx, &userv1.SuspendUserRequest{Name: "users/anna"})
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			err := call(ctx)
			if err := refusal(err, codes.Unavailable, "STORE_UNAVAILABLE", ""); err != nil {
				t.Fatal(err)
			}
			if after, ok := errs.From(errs.FromWire(err)).RetryAfter(); !ok || after <= 0 {
				t.Errorf("%v does not say when to try again", err)
			}
		})
	}
	if err := tx.Rollback(bounded(t)); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if err := call(bounded(t)); err != nil {
			t.Errorf("%s after the lock: %v", name, err)
		}
	}
}
