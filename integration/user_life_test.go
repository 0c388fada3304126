package integration_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// userLife asks for everything of a user who never was, lives, and is deleted.
func userLife(t *testing.T, c userv1.UserServiceClient) {
	const name = "users/life"
	calls := map[string]func() error{
		"get": func() error { _, err := c.GetUser(bounded(t), &userv1.GetUserRequest{Name: name}); return err },
		"update": func() error {
			return second(c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: name, DisplayName: "x"}}))
		},
		"upsert": func() error {
			return second(c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: name, Email: email("life")}, AllowMissing: true, ValidateOnly: true}))
		},
		"delete": func() error {
			return second(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name, ValidateOnly: true}))
		},
		"remove": func() error {
			return second(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name, ValidateOnly: true, AllowMissing: true}))
		},
		"undelete": func() error {
			return second(c.UndeleteUser(bounded(t), &userv1.UndeleteUserRequest{Name: name, ValidateOnly: true}))
		},
		"suspend":  func() error { return second(c.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: name})) },
		"activate": func() error { return second(c.ActivateUser(bounded(t), &userv1.ActivateUserRequest{Name: name})) },
		"create": func() error {
			return second(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "life", User: &userv1.User{Email: email("life")}, ValidateOnly: true}))
		},
	}
	check := func(when string, want map[string]error) {
		t.Helper()
		for what, call := range calls {
			err := errs.FromWire(call())
			if w := want[what]; w == nil && err != nil || w != nil && !errors.Is(err, w) {
				t.Errorf("%s, %s: %v; want %v", when, what, err, w)
			}
		}
	}
	none := errs.NotFound("USER_NOT_FOUND", "")
	gone := errs.FailedPrecondition("USER_DELETED", "")
	exists := errs.AlreadyExists("USER_ALREADY_EXISTS", "")
	check("never was", map[string]error{"get": none, "update": none, "delete": none, "undelete": none, "suspend": none, "activate": none})
	makeUser(t, c, "life")
	check("lives", map[string]error{"undelete": errs.AlreadyExists("USER_NOT_DELETED", ""), "create": exists})
	must[*userv1.User](t)(c.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: name}))
	dead := must[*userv1.User](t)(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: name}))
	if dead.GetDeleteTime() == nil || dead.GetPurgeTime().AsTime().Sub(dead.GetDeleteTime().AsTime()).Hours() != 30*24 {
		t.Errorf("deleted: %v", dead)
	}
	check("is deleted", map[string]error{"update": gone, "upsert": gone, "delete": none, "suspend": gone, "activate": gone, "create": exists})
	back := must[*userv1.User](t)(c.UndeleteUser(bounded(t), &userv1.UndeleteUserRequest{Name: name, Etag: dead.GetEtag()}))
	if back.GetState() != userv1.User_STATE_SUSPENDED || back.GetDeleteTime() != nil || back.GetPurgeTime() != nil || back.GetUid() != dead.GetUid() {
		t.Errorf("undeleted: %v", back)
	}
}

func second(_ *userv1.User, err error) error { return err }

// userDryRuns does everything with validate_only and a request ID: nothing
// changes, and the ID is not used up.
func userDryRuns(t *testing.T, c userv1.UserServiceClient) {
	before := makeUser(t, c, "dry-run")
	taken := makeUser(t, c, "dry-taken")
	id := uuid.NewString()
	for name, tt := range map[string]struct {
		err  error
		want error
	}{
		"update":       {err: second(c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/dry-run", DisplayName: "x"}, ValidateOnly: true, RequestId: id}))},
		"delete":       {err: second(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: "users/dry-run", ValidateOnly: true, RequestId: id}))},
		"suspend":      {err: second(c.SuspendUser(bounded(t), &userv1.SuspendUserRequest{Name: "users/dry-run", ValidateOnly: true, RequestId: id}))},
		"create":       {err: second(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "dry-new", User: &userv1.User{Email: "dry@example.com"}, ValidateOnly: true, RequestId: id}))},
		"taken name":   {second(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "dry-run", User: &userv1.User{Email: "dry@example.com"}, ValidateOnly: true, RequestId: id})), errs.AlreadyExists("USER_ALREADY_EXISTS", "")},
		"taken e-mail": {second(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "dry-new", User: &userv1.User{Email: taken.GetEmail()}, ValidateOnly: true, RequestId: id})), errs.AlreadyExists("EMAIL_TAKEN", "")},
		"their e-mail": {second(c.UpdateUser(bounded(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/dry-run", Email: taken.GetEmail()}, ValidateOnly: true, RequestId: id})), errs.AlreadyExists("EMAIL_TAKEN", "")},
		"stale etag":   {second(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: "users/dry-run", Etag: `"x"`, ValidateOnly: true, RequestId: id})), errs.Aborted("ETAG_MISMATCH", "")},
		"wrong field":  {second(c.CreateUser(bounded(t), &userv1.CreateUserRequest{User: &userv1.User{Email: "x"}, ValidateOnly: true, RequestId: id})), errs.InvalidArgument("INVALID_REQUEST", "")},
	} {
		if err := errs.FromWire(tt.err); tt.want == nil && err != nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v; want %v", name, err, tt.want)
		}
	}
	after := must[*userv1.User](t)(c.GetUser(bounded(t), &userv1.GetUserRequest{Name: "users/dry-run"}))
	if diff := cmp.Diff(before, after, protocmp.Transform()); diff != "" {
		t.Errorf("a dry run changed the user:\n%s", diff)
	}
	must[*userv1.User](t)(c.CreateUser(bounded(t), &userv1.CreateUserRequest{UserId: "dry-new", User: &userv1.User{Email: "dry@example.com"}, RequestId: id}))
}

func userBatches(t *testing.T, c userv1.UserServiceClient) {
	for _, id := range []string{"batch-a", "batch-b", "batch-c"} {
		makeUser(t, c, id)
	}
	must[*userv1.User](t)(c.DeleteUser(bounded(t), &userv1.DeleteUserRequest{Name: "users/batch-b"}))
	names := []string{"users/batch-c", "users/batch-a", "users/batch-c", "users/batch-b"}
	for len(names) < 1000 {
		names = append(names, "users/batch-a")
	}
	got := must[*userv1.BatchGetUsersResponse](t)(c.BatchGetUsers(bounded(t), &userv1.BatchGetUsersRequest{Names: names}))
	for i, u := range got.GetUsers() {
		if u.GetName() != names[i] {
			t.Fatalf("user %d is %s; want %s", i, u.GetName(), names[i])
		}
	}
	for field, tt := range map[string]struct {
		names  []string
		code   codes.Code
		reason string
	}{
		"names":    {append(names, "users/batch-a"), codes.InvalidArgument, "INVALID_REQUEST"},
		"names[1]": {[]string{"users/batch-a", "users/nobody", "users/batch-b", "users/nobody"}, codes.NotFound, "USER_NOT_FOUND"},
		"names[0]": {[]string{"users/-"}, codes.InvalidArgument, "INVALID_REQUEST"},
	} {
		_, err := c.BatchGetUsers(bounded(t), &userv1.BatchGetUsersRequest{Names: tt.names})
		if err := refusal(err, tt.code, tt.reason, field); err != nil {
			t.Error(err)
		}
	}
	_, err := c.BatchGetUsers(bounded(t), &userv1.BatchGetUsersRequest{})
	if err := refusal(err, codes.InvalidArgument, "INVALID_REQUEST", "names"); err != nil {
		t.Error("no names:", err)
	}
}
