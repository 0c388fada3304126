package load

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/keelson-dev/keelson/errs"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// codeOverrun is the code of calls that were not begun.
const codeOverrun = codes.ResourceExhausted

// perform makes a call and writes down how it went.
func (g *Generator) perform(c *history.Call, keys []string) {
	c.Timeout = g.cfg.Read
	if c.Kind.Write() {
		c.Timeout = g.cfg.Write
		c.RequestID = uuid.NewString()
		if c.Kind == history.Create || c.Kind == history.Update {
			c.Token = fmt.Sprintf("%s.%d", g.cfg.Prefix, c.ID)
		}
	}
	seen := &attempts{clock: g.to.Clock}
	c.Start = g.to.Now()
	ctx, cancel := context.WithDeadline(context.WithValue(context.Background(), attemptsKey{}, seen), g.to.Time(c.Start+c.Timeout))
	defer cancel()
	users, err := g.call(ctx, c, keys)
	c.End = g.to.Now()
	c.Attempts = seen.sent()
	c.Seen = users
	outcome(c, err)
}

// outcome writes down an error.
func outcome(c *history.Call, err error) {
	if err == nil {
		return
	}
	e := errs.From(err)
	c.Code, c.Reason = e.Code(), e.Reason()
	_, c.RetryInfo = e.RetryAfter()
	if c.Failed() {
		c.Message = e.Message()
	}
}

// call makes the call and returns the users in the answer.
func (g *Generator) call(ctx context.Context, c *history.Call, keys []string) ([]history.Seen, error) {
	switch c.Kind {
	case history.List:
		_, err := g.users.ListUsers(ctx, &userv1.ListUsersRequest{PageSize: 20})
		return nil, err
	case history.Batch:
		r, err := g.users.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Names: keys})
		return see(r.GetUsers()...), err
	case history.Changes:
		_, err := g.audit.ListChanges(ctx, &auditv1.ListChangesRequest{PageSize: 20, OrderBy: "position desc"})
		return nil, err
	case history.Get:
		u, err := g.users.GetUser(ctx, &userv1.GetUserRequest{Name: c.Key})
		return seeOne(u, err), err
	default:
		u, err := g.write(ctx, c)
		return seeOne(u, err), err
	}
}

// write makes a call that changes a user. Made again with the same record it is
// the same request.
func (g *Generator) write(ctx context.Context, c *history.Call) (*userv1.User, error) {
	switch c.Kind {
	case history.Create:
		return g.users.CreateUser(ctx, &userv1.CreateUserRequest{UserId: c.Key[len("users/"):], RequestId: c.RequestID, User: &userv1.User{DisplayName: c.Token, Email: c.Key[len("users/"):] + "@lab.test"}})
	case history.Update:
		return g.users.UpdateUser(ctx, &userv1.UpdateUserRequest{RequestId: c.RequestID, User: &userv1.User{Name: c.Key, DisplayName: c.Token, Etag: c.IfEtag}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}}})
	case history.Delete:
		return g.users.DeleteUser(ctx, &userv1.DeleteUserRequest{RequestId: c.RequestID, Name: c.Key, Etag: c.IfEtag})
	default:
		return g.users.UndeleteUser(ctx, &userv1.UndeleteUserRequest{RequestId: c.RequestID, Name: c.Key, Etag: c.IfEtag})
	}
}

func seeOne(u *userv1.User, err error) []history.Seen {
	if err != nil {
		return nil
	}
	return see(u)
}

func see(users ...*userv1.User) []history.Seen {
	seen := make([]history.Seen, 0, len(users))
	for _, u := range users {
		seen = append(seen, history.Seen{Key: u.GetName(), State: state(u)})
	}
	return seen
}

func state(u *userv1.User) history.State {
	return history.State{Etag: u.GetEtag(), Token: u.GetDisplayName(), Deleted: u.GetDeleteTime() != nil}
}
