package load_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// users is a user service in memory that does as it is told.
type users struct {
	userv1.UserServiceClient
	before func(ctx context.Context, id string) error // nil: nothing
	after  func(id string) error

	mu       sync.Mutex
	byName   map[string]*userv1.User
	answered map[string]*userv1.User
}

func newUsers() *users {
	return &users{byName: map[string]*userv1.User{}, answered: map[string]*userv1.User{}}
}

func (u *users) GetUser(ctx context.Context, in *userv1.GetUserRequest, _ ...grpc.CallOption) (*userv1.User, error) {
	if u.before != nil {
		if err := u.before(ctx, ""); err != nil {
			return nil, err
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if user := u.byName[in.GetName()]; user != nil {
		return user, nil
	}
	return nil, errs.NotFound("USER_NOT_FOUND", "there is none")
}

func (u *users) CreateUser(ctx context.Context, in *userv1.CreateUserRequest, _ ...grpc.CallOption) (*userv1.User, error) {
	return u.write(ctx, in.GetRequestId(), &userv1.User{Name: "users/" + in.GetUserId(), DisplayName: in.GetUser().GetDisplayName()})
}

func (u *users) UpdateUser(ctx context.Context, in *userv1.UpdateUserRequest, _ ...grpc.CallOption) (*userv1.User, error) {
	return u.write(ctx, in.GetRequestId(), &userv1.User{Name: in.GetUser().GetName(), DisplayName: in.GetUser().GetDisplayName()})
}

func (u *users) DeleteUser(ctx context.Context, _ *userv1.DeleteUserRequest, _ ...grpc.CallOption) (*userv1.User, error) {
	if u.before != nil {
		if err := u.before(ctx, ""); err != nil {
			return nil, err
		}
	}
	return nil, errs.NotFound("USER_NOT_FOUND", "there is none")
}

func (u *users) ListUsers(context.Context, *userv1.ListUsersRequest, ...grpc.CallOption) (*userv1.ListUsersResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r := &userv1.ListUsersResponse{}
	for _, user := range u.byName {
		r.Users = append(r.Users, user)
	}
	return r, nil
}

// write stores a user once per request ID.
func (u *users) write(ctx context.Context, id string, user *userv1.User) (*userv1.User, error) {
	if u.before != nil {
		if err := u.before(ctx, id); err != nil {
			return nil, err
		}
	}
	u.mu.Lock()
	first := u.answered[id]
	if first == nil {
		user.Etag = fmt.Sprintf(`"x-%d"`, len(u.answered)+1)
		u.byName[user.GetName()], u.answered[id] = user, user
		first = user
	}
	u.mu.Unlock()
	if u.after != nil {
		if err := u.after(id); err != nil {
			return nil, err
		}
	}
	return first, nil
}

func run(u *users, d time.Duration, mix load.Mix) (*load.Generator, *history.History) {
	h := history.New()
	g := load.New(load.Config{Rate: 100, Seed: 1, Prefix: "t", Users: 4, Mix: mix}, u, nil, h)
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	g.Run(ctx)
	return g, h
}

// TestAStandstillIsNotHidden has every call wait for one that hangs: a generator
// that waited for answers would make few calls and call them fast.
func TestAStandstillIsNotHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		u := newUsers()
		u.before = func(ctx context.Context, _ string) error { // nobody is answered for half a second
			select {
			case <-time.After(time.Until(begin.Add(500 * time.Millisecond))):
				return nil
			case <-ctx.Done():
				return status.FromContextError(ctx.Err()).Err()
			}
		}
		_, h := run(u, time.Second, load.Mix{Get: 100})
		slow := 0
		for _, c := range h.Calls() {
			if c.Latency() > 250*time.Millisecond {
				slow++
			}
		}
		if n := len(h.Calls()); n < 99 || n > 101 || slow < 24 || slow > 26 {
			t.Errorf("%d calls, %d of them slower than half the standstill; want 100 and 25", n, slow)
		}
	})
}

func TestCallsEndByTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUsers()
		u.before = func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		}
		_, h := run(u, time.Second, load.Mix{Get: 50})
		for _, c := range h.Calls() {
			want := time.Second
			if c.Kind.Write() {
				want = 2 * time.Second
			}
			if c.Timeout != want || c.End-c.Start != want || c.Code != codes.DeadlineExceeded || !c.Failed() {
				t.Fatalf("a call with %s ended after %s: %s", c.Timeout, c.End-c.Start, c.Code)
			}
		}
		if v := check.Deadlines(h.Calls(), func(time.Duration, time.Duration) time.Duration { return 0 }); !v.OK {
			t.Error(v)
		}
	})
}

// TestLostAnswersAreAskedForAgain loses the answers of all writes: after
// settling every outcome is known, and nothing happened twice.
func TestLostAnswersAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUsers()
		u.after = func(string) error { return errs.Unavailable("GONE", "the connection broke") }
		g, h := run(u, time.Second, load.Mix{Get: 10})
		open := 0
		for _, c := range h.Calls() {
			if c.Open() && c.Kind.Write() {
				open++
			}
		}
		u.after = nil
		if asked := g.Settle(t.Context()); asked != open || open == 0 {
			t.Errorf("%d writes had no answer, %d were asked about", open, asked)
		}
		before := len(u.answered)
		for _, c := range h.Calls() {
			if c.Kind.Write() && (c.Open() || !c.Acknowledged()) {
				t.Errorf("%s of %s is open after settling", c.Kind, c.Key)
			}
		}
		if before != open {
			t.Errorf("%d requests took effect, %d were made", before, open)
		}
		if _, err := g.ReadBack(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := check.Linearizable(h.Calls(), 10*time.Second); !v.OK {
			t.Error(v)
		}
	})
}

func TestASeedRepeatsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := func() (kinds []string) {
			_, h := run(newUsers(), 995*time.Millisecond, load.Mix{Get: 60})
			for _, c := range h.Calls() {
				kinds = append(kinds, c.Kind.String()+" "+c.Key)
			}
			return kinds
		}
		a, b := plan(), plan()
		if len(a) < 90 || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("the same seed made other calls:\n%v\n%v", a, b)
		}
	})
}

func TestLagIsTheTimeForWhichTheLabWasHeldUp(t *testing.T) {
	const ms = time.Millisecond
	var m load.LagMeter
	m.Note(100*ms, 1*ms) // noise
	m.Note(200*ms, 30*ms)
	m.Note(210*ms, 40*ms) // another thread, at the same time
	m.Note(400*ms, 10*ms)
	for _, tc := range []struct {
		name           string
		from, to, want time.Duration
	}{
		{"nothing", 0, 150 * ms, 0}, {"all", 0, time.Second, 60 * ms}, {"a part", 220 * ms, 240 * ms, 20 * ms}, {"the end", 240 * ms, 405 * ms, 15 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := m.Between(tc.from, tc.to); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	if m.Worst() != 40*ms {
		t.Errorf("worst %s", m.Worst())
	}
}
