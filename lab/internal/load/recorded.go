package load

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// Recorded waits until the audit service sees changes happen: the history of one
// that has just been started begins with the users as they are, and what happened
// to them before it watched is not in it. It makes a user of its own and changes
// it until a change is recorded that was not inferred.
func Recorded(ctx context.Context, users userv1.UserServiceClient, audit auditv1.AuditServiceClient, id string) error {
	u, err := users.CreateUser(ctx, &userv1.CreateUserRequest{UserId: id, User: &userv1.User{DisplayName: "0", Email: id + "@lab.test"}})
	if err != nil {
		return fmt.Errorf("create a user to be recorded: %w", err)
	}
	for n := 1; ; n++ {
		c, err := recorded(ctx, audit, u)
		if err != nil {
			return fmt.Errorf("wait for the audit history to begin: %w", err)
		}
		if !c.GetInferred() {
			return nil
		}
		u.DisplayName = fmt.Sprint(n)
		if u, err = users.UpdateUser(ctx, &userv1.UpdateUserRequest{User: u, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}}}); err != nil {
			return fmt.Errorf("change a user to be recorded: %w", err)
		}
	}
}

// recorded waits for the change that led to a user's etag.
func recorded(ctx context.Context, audit auditv1.AuditServiceClient, u *userv1.User) (*auditv1.Change, error) {
	for {
		r, err := audit.ListChanges(ctx, &auditv1.ListChangesRequest{User: u.GetName(), PageSize: 1, OrderBy: "position desc"})
		if err != nil {
			return nil, err
		}
		if all := r.GetChanges(); len(all) == 1 && all[0].GetUserEtag() == u.GetEtag() {
			return all[0], nil
		}
		sleep(ctx, 50*time.Millisecond)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}
