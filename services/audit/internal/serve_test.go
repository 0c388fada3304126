package internal_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	"github.com/keelson-dev/keelson/services/audit/internal"
	"github.com/keelson-dev/keelson/services/audit/repository"
)

// instance is one running handler and a client of it.
type instance struct {
	auditv1.AuditServiceClient
	drain func() error
}

// serve runs a handler, in the chassis and in memory, until the test ends.
func serve(t testing.TB, store repository.Store, d *directory, follow internal.FollowConfig) *instance {
	t.Helper()
	h := internal.NewHandler(store, d, internal.UsersConfig{}, follow, internal.WithDraining(keelson.Draining))
	conn, drain := keelsontest.Start(t, func(s *keelson.Service) {
		auditv1.RegisterAuditServiceServer(s, h)
		s.Go("tail", h.Run)
	}, keelsontest.WithServiceOptions(internal.Options()...))
	return &instance{auditv1.NewAuditServiceClient(conn), drain}
}

// extend appends changes to the history, whoever did so before.
func extend(t testing.TB, store repository.Store, changes ...repository.Change) {
	t.Helper()
	l, err := store.Acquire(t.Context(), "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	b := repository.Batch{Fence: l.Fence, From: l.State, Changes: changes, Generation: 1}
	for _, c := range changes {
		b.Known = append(b.Known, repository.Subject{UID: c.UserUID, ID: c.UserID, ETag: c.UserETag})
	}
	if _, err := store.Append(t.Context(), b, time.Minute); err != nil {
		t.Fatal(err)
	}
}

// soon bounds what a test waits for, so that a failure is a failure and not a
// hanging test.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func wantOK[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantError checks code and reason of an error, and the field it names when
// field is not empty.
func wantError(t testing.TB, err error, code codes.Code, reason, field string) *errs.Error {
	t.Helper()
	e := errs.From(err)
	if err == nil || e.Code() != code || e.Reason() != reason || e.Domain() != internal.Domain {
		t.Fatalf("error is %v of %s; want %v %s", err, e.Domain(), code, reason)
	}
	if field == "" {
		return e
	}
	for _, f := range e.Fields() {
		if f.GetField() == field {
			return e
		}
	}
	t.Fatalf("error %v names the fields %v; want %s", err, e.Fields(), field)
	return nil
}
