package integration_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// userWrite is one write with a request ID; variant makes another request of it.
type userWrite struct {
	name string
	do   func(c userv1.UserServiceClient, id string, variant bool) (*userv1.User, error)
}

func userWritesOf(t *testing.T) []userWrite {
	const name = "users/replayed"
	etag := func(variant bool) string {
		if variant {
			return `"another"`
		}
		return ""
	}
	return []userWrite{
		{"delete of nobody", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name, RequestId: id, AllowMissing: true, Etag: etag(v)})
		}},
		{"create", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "replayed", RequestId: id, User: &userv1.User{Email: fmt.Sprintf("replayed-%t@example.com", v)}})
		}},
		{"update", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: name, DisplayName: "R", Etag: etag(v)}, RequestId: id})
		}},
		{"suspend", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: name, RequestId: id, Etag: etag(v)})
		}},
		{"activate", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.ActivateUser(bounded(t), &userv1.ActivateUserRequest{Name: name, RequestId: id, Etag: etag(v)})
		}},
		{"activate what is active", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.ActivateUser(bounded(t), &userv1.ActivateUserRequest{Name: name, RequestId: id, Etag: etag(v)})
		}},
		{"delete", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name, RequestId: id, Etag: etag(v)})
		}},
		{"delete of a deleted one", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name, RequestId: id, AllowMissing: true, Etag: etag(v)})
		}},
		{"undelete", func(c userv1.UserServiceClient, id string, v bool) (*userv1.User, error) {
			return c.UndeleteUser(bounded(t), &userv1.UndeleteUserRequest{Name: name, RequestId: id, Etag: etag(v)})
		}},
	}
}

// TestUserRequestsAreDoneOnce does each write at three instances at once with
// one request ID, kills the first instance, and repeats them all: each has had
// its effect once and answers as it did first, also after the user has changed
// and has been purged.
func TestUserRequestsAreDoneOnce(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		var all []*userInstance
		for _, id := range []string{"a", "b", "c"} {
			all = append(all, p.run(id, "KEELSON_USERS__DELETED_TTL=1s", "KEELSON_PURGE__INTERVAL=100ms"))
		}
		type done struct {
			userWrite
			id    string
			first *userv1.User
		}
		var history []done
		start := must[*userv1.ListUsersResponse](t)(all[0].ListUsers(bounded(t), &userv1.ListUsersRequest{})).GetRevision()
		for _, w := range userWritesOf(t) {
			id := uuid.NewString()
			history = append(history, done{w, id, atOnce(t, all, func(c *userInstance) (*userv1.User, error) { return w.do(c, id, false) })})
		}
		all[0].kill()
		all[0] = p.run("a-again", all[0].env[len(all[0].env)-2:]...)
		check := func(when string) {
			for i, d := range history {
				c := all[i%len(all)]
				if again, err := d.do(c, d.id, false); err != nil {
					t.Errorf("%s, %s again: %v", when, d.name, err)
				} else if diff := cmp.Diff(d.first, again, protocmp.Transform()); diff != "" {
					t.Errorf("%s, %s again differs:\n%s", when, d.name, diff)
				}
				reused := errs.InvalidArgument("REQUEST_ID_REUSED", "")
				if _, err := d.do(c, d.id, true); !errors.Is(errs.FromWire(err), reused) {
					t.Errorf("%s, %s with another body: %v", when, d.name, err)
				}
				if _, err := history[(i+3)%len(history)].do(c, d.id, false); !errors.Is(errs.FromWire(err), reused) {
					t.Errorf("%s, %s with the ID of %s: %v", when, history[(i+3)%len(history)].name, d.name, err)
				}
			}
		}
		check("after a kill")
		// create, update, suspend, activate, delete, undelete: six events.
		if got := changesSince(t, all[1], start); len(got) != 6 {
			t.Errorf("%d changes: %v; want 6", len(got), got)
		}
		must[*userv1.User](t)(all[1].DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: "users/replayed"}))
		p.wait("the purge", func() bool {
			_, err := all[2].GetUser(bounded(t), &userv1.GetUserRequest{Name: "users/replayed"})
			return errors.Is(errs.FromWire(err), errs.NotFound("USER_NOT_FOUND", ""))
		})
		check("after the purge")
		if _, err := all[0].GetUser(bounded(t), &userv1.GetUserRequest{Name: "users/replayed"}); err == nil {
			t.Error("a replay brought the user back")
		}
		if again := makeUser(t, all[0], "replayed"); again.GetUid() == history[1].first.GetUid() {
			t.Error("a user who is created again has the old uid")
		}
	})
}

// atOnce makes a call at all instances, several times each, and returns the one
// answer that all have to give.
func atOnce(t *testing.T, all []*userInstance, call func(*userInstance) (*userv1.User, error)) *userv1.User {
	t.Helper()
	answers := make([]*userv1.User, 4*len(all))
	var calls sync.WaitGroup
	for i := range answers {
		calls.Go(func() {
			var err error
			if answers[i], err = call(all[i%len(all)]); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	for _, a := range answers {
		if diff := cmp.Diff(answers[0], a, protocmp.Transform()); diff != "" {
			t.Fatalf("two answers to one request:\n%s", diff)
		}
	}
	return answers[0]
}

// changesSince returns what happened after a revision until now.
func changesSince(t *testing.T, c userv1.UserServiceClient, revision string) []string {
	t.Helper()
	now := must[*userv1.ListUsersResponse](t)(c.ListUsers(bounded(t), &userv1.ListUsersRequest{})).GetRevision()
	s, err := c.WatchUsers(bounded(t), &userv1.WatchUsersRequest{StartRevision: revision, ShowDeleted: true})
	var all []string
	for revision != now && err == nil {
		var e *userv1.WatchUsersResponse
		if e, err = s.Recv(); err == nil {
			revision = e.GetRevision()
			all = append(all, fmt.Sprintf("%s %s", e.GetType(), e.GetUser().GetName()))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}
