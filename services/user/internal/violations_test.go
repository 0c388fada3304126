package internal_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/keelson-dev/keelson/keelsontest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
)

const badID = "Not An ID"

// badUser keeps the rules of user.proto, but for its name, and breaks others.
func badUser() *userv1.User {
	return &userv1.User{Name: "anna", Email: "anna", DisplayName: "\x00", Labels: map[string]string{"Bad Key": "x"}}
}

// badContent are the fields that are wrong with it.
func badContent(more ...string) []string {
	return append(more, "user.display_name", "user.email", "user.labels")
}

// startChecking runs the whole service with all that it wants of the chassis.
func startChecking(t *testing.T) userv1.UserServiceClient {
	t.Helper()
	opts, err := internal.Options()
	if err != nil {
		t.Fatal(err)
	}
	c, _ := startService(t, filepath.Join(t.TempDir(), "users.db"), keelsontest.WithServiceOptions(opts...))
	return c
}

// TestEveryViolationIsSaidAtOnce breaks rules of user.proto together with what
// only the handler checks.
func TestEveryViolationIsSaidAtOnce(t *testing.T) {
	c := startChecking(t)
	for _, tc := range []struct {
		method string
		call   func(ctx context.Context) error
		want   []string
	}{
		{"GetUser", func(ctx context.Context) error {
			_, err := c.GetUser(ctx, &userv1.GetUserRequest{Name: badID})
			return err
		}, []string{"name"}},
		{"BatchGetUsers", func(ctx context.Context) error {
			_, err := c.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Names: []string{badID, "users/anna", ""}})
			return err
		}, []string{"names[0]", "names[2]"}},
		{"ListUsers", func(ctx context.Context) error {
			_, err := c.ListUsers(ctx, &userv1.ListUsersRequest{PageSize: -1, Filter: "x = (", OrderBy: "shoe_size"})
			return err
		}, []string{"filter", "order_by", "page_size"}},
		{"ListUsers with a bad token", func(ctx context.Context) error {
			_, err := c.ListUsers(ctx, &userv1.ListUsersRequest{PageSize: -1, PageToken: "x"})
			return err
		}, []string{"page_size", "page_token"}},
		{"CreateUser", func(ctx context.Context) error {
			_, err := c.CreateUser(ctx, &userv1.CreateUserRequest{UserId: badID, RequestId: badID, User: badUser()})
			return err
		}, badContent("request_id", "user_id")},
		{"CreateUser, rules kept", func(ctx context.Context) error {
			_, err := c.CreateUser(ctx, &userv1.CreateUserRequest{User: badUser()})
			return err
		}, badContent()},
		{"CreateUser without a user", func(ctx context.Context) error {
			_, err := c.CreateUser(ctx, &userv1.CreateUserRequest{UserId: badID, RequestId: badID})
			return err
		}, []string{"request_id", "user", "user_id"}},
		{"UpdateUser", func(ctx context.Context) error {
			_, err := c.UpdateUser(ctx, &userv1.UpdateUserRequest{RequestId: badID, User: badUser(), UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"email", "shoe_size"}}})
			return err
		}, []string{"request_id", "update_mask", "user.email", "user.name"}},
		{"UpdateUser without a user", func(ctx context.Context) error {
			_, err := c.UpdateUser(ctx, &userv1.UpdateUserRequest{RequestId: badID})
			return err
		}, []string{"request_id", "user"}},
		{"WatchUsers", func(ctx context.Context) error {
			s, err := c.WatchUsers(ctx, &userv1.WatchUsersRequest{Filter: "x = (", StartRevision: "x", BookmarkInterval: durationpb.New(-time.Second)})
			if err == nil {
				_, err = s.Recv()
			}
			return err
		}, []string{"bookmark_interval", "filter", "start_revision"}},
	} {
		t.Run(tc.method, func(t *testing.T) { keelsontest.WantViolations(t, tc.call(soon(t)), internal.Domain, tc.want...) })
	}
}

func TestEveryViolationOfAWriteOfOneUserIsSaid(t *testing.T) {
	c := startChecking(t)
	for method, call := range map[string]func(context.Context) (*userv1.User, error){
		"DeleteUser": func(ctx context.Context) (*userv1.User, error) {
			return c.DeleteUser(ctx, &userv1.DeleteUserRequest{Name: badID, RequestId: badID})
		},
		"UndeleteUser": func(ctx context.Context) (*userv1.User, error) {
			return c.UndeleteUser(ctx, &userv1.UndeleteUserRequest{Name: badID, RequestId: badID})
		},
		"SuspendUser": func(ctx context.Context) (*userv1.User, error) {
			return c.SuspendUser(ctx, &userv1.SuspendUserRequest{Name: badID, RequestId: badID})
		},
		"ActivateUser": func(ctx context.Context) (*userv1.User, error) {
			return c.ActivateUser(ctx, &userv1.ActivateUserRequest{Name: badID, RequestId: badID})
		},
	} {
		t.Run(method, func(t *testing.T) {
			_, err := call(soon(t))
			keelsontest.WantViolations(t, err, internal.Domain, "name", "request_id")
		})
	}
}

func TestEveryViolationOfAnImportedUserIsSaid(t *testing.T) {
	got := importAll(t, startChecking(t), "bad", itemOf(-1, badID, badUser()))
	if len(got.results[-1]) != 1 {
		t.Fatalf("got %v", got.results)
	}
	keelsontest.WantViolations(t, status.ErrorProto(got.results[-1][0].GetError()), internal.Domain, badContent("sequence", "user_id")...)
}
