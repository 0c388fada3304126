package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// feed is a stream of changes as it was seen, resumed wherever it broke.
type feed struct {
	mu     sync.Mutex
	seen   []seenChange
	resume int
}

// seenChange is one message: where it stands, and what it says.
type seenChange struct{ revision, what string }

func (f *feed) add(e *userv1.WatchUsersResponse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, seenChange{e.GetRevision(), fmt.Sprintf("%s %s %s", e.GetType(), e.GetUser().GetName(), e.GetUser().GetEtag())})
}

func (f *feed) last() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) == 0 {
		return ""
	}
	return f.seen[len(f.seen)-1].what
}

// follow watches from a revision until the context ends. It goes on from the
// last message it has, or from the token of the error, at any instance.
func (f *feed) follow(ctx context.Context, users userv1.UserServiceClient, req *userv1.WatchUsersRequest) {
	for ctx.Err() == nil {
		s, err := users.WatchUsers(ctx, req)
		for err == nil {
			var e *userv1.WatchUsersResponse
			if e, err = s.Recv(); err == nil {
				req.StartRevision = e.GetRevision()
				if e.GetType() != userv1.WatchUsersResponse_TYPE_BOOKMARK {
					f.add(e)
				}
			}
		}
		if token, ok := errs.ResumeToken(errs.FromWire(err)); ok {
			req.StartRevision = token
		}
		f.resume++
	}
}

// TestUserWatchersSeeOneOrderThroughKills lets writers at three instances change
// a few users while instances are killed and come back. Watchers at each
// instance, and one that goes wherever there is one, see the same changes in the
// same order, each once; the versions of each user grow by one; and each change
// whose answer a writer had before it began another comes before it.
// KEELSONTEST_USER_WRITES sets how many writes.
func TestUserWatchersSeeOneOrderThroughKills(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		instances := p.runs("a", "b", "c")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var users []userv1.UserServiceClient
		for range 3 {
			users = append(users, p.users())
		}
		start := must[*userv1.ListUsersResponse](t)(users[0].ListUsers(bounded(t), &userv1.ListUsersRequest{})).GetRevision()
		feeds := make([]*feed, len(users))
		var watching sync.WaitGroup
		for i, c := range users {
			feeds[i] = &feed{}
			watching.Go(func() { feeds[i].follow(ctx, c, &userv1.WatchUsersRequest{StartRevision: start, ShowDeleted: true}) })
		}
		chains, stop := writeChains(t, users, size(t, "KEELSONTEST_USER_WRITES", 600))
		for _, i := range instances {
			i.kill()
			p.run(i.ID + "-again")
		}
		stop()
		end := makeUser(t, users[0], "the-end")
		want := fmt.Sprintf("TYPE_ADDED %s %s", end.GetName(), end.GetEtag())
		p.wait("all watchers to see the end", func() bool {
			return !slices.ContainsFunc(feeds, func(f *feed) bool { return f.last() != want })
		})
		cancel()
		watching.Wait()
		for i, f := range feeds {
			t.Logf("watcher %d saw %d changes and resumed %d times", i, len(f.seen), f.resume-1)
			if f.resume < 2 {
				t.Errorf("all instances were killed, and watcher %d did not notice", i)
			}
			if i > 0 && !slices.Equal(f.seen, feeds[0].seen) {
				t.Errorf("watchers 0 and %d saw different streams: %s", i, firstDifference(feeds[0].seen, f.seen))
			}
		}
		checkOrder(t, feeds[0].seen, chains)
		checkResumes(t, users[1], feeds[0].seen)
	})
}

// firstDifference says where two streams part.
func firstDifference(a, b []seenChange) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return fmt.Sprintf("at %d of %d and %d: %v, %v", i, len(a), len(b), a[i], b[i])
		}
	}
	return fmt.Sprintf("%d and %d changes", len(a), len(b))
}

// writeChains starts writers; each changes users of a few one after another and
// notes its changes in the order it made them. They write at least n times
// together, and until stop, which waits for them.
func writeChains(t *testing.T, users []userv1.UserServiceClient, n int) (chains [][]string, stop func()) {
	t.Helper()
	for i := range 8 {
		makeUser(t, users[0], fmt.Sprintf("chained-%d", i))
	}
	chains = make([][]string, 6)
	var left atomic.Int64
	left.Store(int64(n))
	enough := make(chan struct{})
	open := func() bool {
		select {
		case <-enough:
			return false
		default:
			return true
		}
	}
	var writing sync.WaitGroup
	for i := range chains {
		writing.Go(func() {
			for left.Add(-1) >= 0 || open() {
				u, err := change(t.Context(), users[i%len(users)], fmt.Sprintf("users/chained-%d", rand.N(8)), i) //nolint:gosec // any will do
				switch errs.Code(errs.FromWire(err)) {
				case codes.OK:
					chains[i] = append(chains[i], u.GetName()+" "+u.GetEtag())
				case codes.Unavailable, codes.FailedPrecondition, codes.NotFound, codes.AlreadyExists:
				default:
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	return chains, func() { close(enough); writing.Wait() }
}

// change makes one change of a user that is always one.
func change(ctx context.Context, c userv1.UserServiceClient, name string, who int) (*userv1.User, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	switch rand.N(8) { //nolint:gosec // any will do
	case 0:
		return c.DeleteUser(ctx, &userv1.DeleteUserRequest{Name: name})
	case 1, 2:
		return c.UndeleteUser(ctx, &userv1.UndeleteUserRequest{Name: name})
	default:
		return c.UpdateUser(ctx, &userv1.UpdateUserRequest{User: &userv1.User{Name: name, DisplayName: fmt.Sprintf("by %d, %d", who, rand.Int64())}}) //nolint:gosec // any will do
	}
}

// checkOrder checks that each user's versions grow by one, that nothing comes
// twice, and that each writer's changes stand in the order it made them.
func checkOrder(t *testing.T, seen []seenChange, chains [][]string) {
	t.Helper()
	version, place, revisions := map[string]int64{}, map[string]int{}, map[string]bool{}
	for i, c := range seen {
		if revisions[c.revision] {
			t.Errorf("revision %s comes twice", c.revision)
		}
		revisions[c.revision] = true
		_, user, _ := strings.Cut(c.what, " ")
		place[user] = i
		name, etag, _ := strings.Cut(user, " ")
		v, err := strconv.ParseInt(strings.Trim(etag[strings.LastIndex(etag, "-")+1:], `"`), 36, 64)
		if err != nil || v != version[name]+1 {
			t.Errorf("change %d, %s: comes after version %d (%v)", i, c.what, version[name], err)
		}
		version[name] = v
	}
	for w, chain := range chains {
		before := -1
		for _, user := range chain {
			at, ok := place[user]
			if !ok || at <= before {
				t.Fatalf("writer %d: %s was acknowledged and stands at %d (seen: %v), behind %d", w, user, at, ok, before)
			}
			before = at
		}
	}
}

// checkResumes resumes from tokens all over the stream and expects the rest.
func checkResumes(t *testing.T, c userv1.UserServiceClient, seen []seenChange) {
	t.Helper()
	for at := 0; at < len(seen)-1; at += max(1, len(seen)/25) {
		ctx, cancel := context.WithCancel(bounded(t))
		s := must[userv1.UserService_WatchUsersClient](t)(c.WatchUsers(ctx, &userv1.WatchUsersRequest{StartRevision: seen[at].revision, ShowDeleted: true}))
		f := &feed{}
		for len(f.seen) < len(seen)-at-1 {
			f.add(must[*userv1.WatchUsersResponse](t)(s.Recv()))
		}
		cancel()
		if !slices.Equal(f.seen, seen[at+1:]) {
			t.Errorf("from token %d: %s", at, firstDifference(seen[at+1:], f.seen))
		}
	}
}

// TestUserWatchOfACompactedRevisionSaysToListAgain lets the purge of one
// instance remove changes and asks another for them.
func TestUserWatchOfACompactedRevisionSaysToListAgain(t *testing.T) {
	onBothStores(t, func(t *testing.T, p *userPlatform) {
		a := p.run("a", "KEELSON_PURGE__INTERVAL=50ms", "KEELSON_PURGE__EVENT_COUNT=3")
		b := p.run("b")
		begin := must[*userv1.ListUsersResponse](t)(a.ListUsers(bounded(t), &userv1.ListUsersRequest{})).GetRevision()
		for i := range 10 {
			makeUser(t, a, fmt.Sprintf("compact-%d", i))
		}
		var err error
		p.wait("the compaction", func() bool {
			s, open := b.WatchUsers(bounded(t), &userv1.WatchUsersRequest{StartRevision: begin})
			if err = open; err == nil {
				_, err = s.Recv()
			}
			return err != nil
		})
		if !errors.Is(errs.FromWire(err), errs.OutOfRange("REVISION_COMPACTED", "")) || !strings.Contains(err.Error(), "list the users again") {
			t.Errorf("error is %v", err)
		}
		if _, ok := errs.ResumeToken(errs.FromWire(err)); ok {
			t.Errorf("there is a token to resume from: %v", err)
		}
	})
}
