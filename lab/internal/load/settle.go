package load

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// settling is how many open writes are asked about at a time, and for how long.
const (
	settling    = 16
	settleLimit = 30 * time.Second
)

// Settle asks again, with the same request IDs, about every write whose outcome
// is not known: the platform promises to answer with the first outcome, or to do
// now what it has not done. It returns how many it asked about.
func (g *Generator) Settle(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	open := make(chan *history.Call)
	var workers sync.WaitGroup
	for range settling {
		workers.Go(func() {
			for c := range open {
				g.settle(ctx, c)
			}
		})
	}
	asked := 0
	for _, c := range g.to.Calls() {
		if c.Kind.Write() && c.Open() && c.RequestID != "" {
			asked++
			open <- c
		}
	}
	close(open)
	workers.Wait()
	return asked
}

// settle asks until there is an answer.
func (g *Generator) settle(ctx context.Context, c *history.Call) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, g.cfg.Write)
		u, err := g.write(call, c)
		cancel()
		probe := history.Call{Kind: c.Kind}
		outcome(&probe, err)
		if !probe.Failed() {
			c.Seen = seeOne(u, err)
			c.Answer, c.AnswerReason, c.SettledAt, c.Settled = probe.Code, probe.Reason, g.to.Now(), true
			return
		}
		sleep(ctx, again)
	}
}

// ReadBack reads all users of the load through the API, and records that as
// reads of each that ever was in play, there or not.
func (g *Generator) ReadBack(ctx context.Context) (map[string]history.State, error) {
	begun := g.to.Now()
	users := map[string]history.State{}
	ask := &userv1.ListUsersRequest{PageSize: 1000, ShowDeleted: true, Filter: fmt.Sprintf(`name = "users/%s-*"`, g.cfg.Prefix)}
	for {
		r, err := g.users.ListUsers(ctx, ask)
		if err != nil {
			return nil, fmt.Errorf("read all users back: %w", err)
		}
		for _, u := range r.GetUsers() {
			users[u.GetName()] = state(u)
		}
		if ask.PageToken = r.GetNextPageToken(); ask.PageToken == "" {
			break
		}
	}
	ended := g.to.Now()
	for _, key := range g.pool.all() {
		c := &history.Call{Kind: history.Get, Key: key, Intended: begun, Start: begun, End: ended, Timeout: time.Minute}
		if s, ok := users[key]; ok {
			c.Seen = []history.Seen{{Key: key, State: s}}
		} else {
			c.Code = codes.NotFound
		}
		g.to.Record(c)
	}
	return users, nil
}

// Revision is the present end of the change stream of users.
func Revision(ctx context.Context, users userv1.UserServiceClient) (string, error) {
	r, err := users.ListUsers(ctx, &userv1.ListUsersRequest{PageSize: 1})
	return r.GetRevision(), err
}

// Position is the present end of the audit history.
func Position(ctx context.Context, audit auditv1.AuditServiceClient) (int64, error) {
	r, err := audit.ListChanges(ctx, &auditv1.ListChangesRequest{PageSize: 1, OrderBy: "position desc"})
	if err != nil || len(r.GetChanges()) == 0 {
		return 0, err
	}
	return r.GetChanges()[0].GetPosition(), nil
}

// Audited reads the audit history after a position by pages, the changes of
// users whose names begin with a prefix.
func Audited(ctx context.Context, audit auditv1.AuditServiceClient, prefix string, after int64, clock history.Clock) ([]history.Event, error) {
	var events []history.Event
	ask := &auditv1.ListChangesRequest{PageSize: 1000, OrderBy: "position desc"}
	for {
		r, err := audit.ListChanges(ctx, ask)
		if err != nil {
			return nil, fmt.Errorf("read the audit history: %w", err)
		}
		for _, c := range r.GetChanges() {
			if c.GetPosition() <= after {
				slices.Reverse(events)
				return events, nil
			}
			if strings.HasPrefix(c.GetUser(), "users/"+prefix+"-") {
				events = append(events, auditEvent(c, clock))
			}
		}
		if ask.PageToken = r.GetNextPageToken(); ask.PageToken == "" {
			slices.Reverse(events)
			return events, nil
		}
	}
}
