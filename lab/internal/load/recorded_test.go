package load_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/load"
)

// audits is an audit service in memory whose history begins at a time, with the users as they are.
type audits struct {
	auditv1.AuditServiceClient
	users  *users
	begins time.Time
	begun  bool
	etag   string // of the last change
	last   *auditv1.Change
}

func (a *audits) ListChanges(_ context.Context, in *auditv1.ListChangesRequest, _ ...grpc.CallOption) (*auditv1.ListChangesResponse, error) {
	if time.Now().Before(a.begins) {
		return &auditv1.ListChangesResponse{}, nil
	}
	a.users.mu.Lock()
	defer a.users.mu.Unlock()
	if u := a.users.byName[in.GetUser()]; u.GetEtag() != a.etag {
		a.etag = u.GetEtag()
		a.last = &auditv1.Change{User: u.GetName(), UserEtag: u.GetEtag(), Inferred: !a.begun}
		a.begun = true
	}
	return &auditv1.ListChangesResponse{Changes: []*auditv1.Change{a.last}}, nil
}

func TestLoadWaitsUntilChangesAreRecordedAsTheyHappen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUsers()
		a := &audits{users: u, begins: time.Now().Add(3 * time.Second)}
		if err := load.Recorded(t.Context(), numbered{u}, a, "recorded-1"); err != nil {
			t.Fatal(err)
		}
		if a.last.GetInferred() || len(u.answered) != 2 {
			t.Errorf("it was content with %v after %d writes, want a change that was seen, after 2", a.last, len(u.answered))
		}
	})
}

func TestWaitingForTheHistoryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		u := newUsers()
		err := load.Recorded(ctx, numbered{u}, &audits{users: u, begins: time.Now().Add(time.Hour)}, "recorded-2")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v, want the deadline", err)
		}
	})
}

// numbered gives writes without a request ID one of their own.
type numbered struct{ *users }

func (n numbered) CreateUser(ctx context.Context, in *userv1.CreateUserRequest, o ...grpc.CallOption) (*userv1.User, error) {
	in.RequestId = "create"
	return n.users.CreateUser(ctx, in, o...)
}

func (n numbered) UpdateUser(ctx context.Context, in *userv1.UpdateUserRequest, o ...grpc.CallOption) (*userv1.User, error) {
	in.RequestId = "update " + in.GetUser().GetDisplayName()
	return n.users.UpdateUser(ctx, in, o...)
}
