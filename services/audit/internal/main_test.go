package internal_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/services/audit/repository"
	"github.com/keelson-dev/keelson/services/audit/repository/sqlite"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

func TestMain(m *testing.M) { keelsontest.Main(m) }

// newStore returns a store on a new database file, migrated.
func newStore(t testing.TB) repository.Store {
	t.Helper()
	s, err := sqlite.New(sqlite.Config{Path: filepath.Join(t.TempDir(), "audit.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// directory is a user service as the audit service sees it: users, and a log of
// their changes that can be watched, cut and compacted.
type directory struct {
	userv1.UserServiceClient
	// cut, when set, is asked before each message of a watch; an error ends it.
	cut func() error
	// refuse, when set, is asked before a watch begins; an error is its answer.
	refuse func(req *userv1.WatchUsersRequest) error
	// batchGet, when set, answers BatchGetUsers.
	batchGet func(ctx context.Context, names []string) (*userv1.BatchGetUsersResponse, error)

	mu        sync.Mutex
	now       time.Time
	epoch     int
	users     map[string]*userv1.User
	versions  map[string]int
	log       []*userv1.WatchUsersResponse
	compacted int
	changed   chan struct{}
}

func newDirectory() *directory {
	return &directory{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), users: map[string]*userv1.User{}, versions: map[string]int{}, changed: make(chan struct{})}
}

// put changes a user, whom it creates if need be, and logs the change.
func (d *directory) put(id string, change func(*userv1.User)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u, kind := &userv1.User{Name: "users/" + id, Uid: fmt.Sprintf("uid-%s-%d", id, len(d.log)), State: userv1.User_STATE_ACTIVE}, userv1.WatchUsersResponse_TYPE_ADDED
	if old := d.users[id]; old != nil {
		u, kind = proto.CloneOf(old), userv1.WatchUsersResponse_TYPE_MODIFIED
	}
	change(u)
	d.now = d.now.Add(time.Second)
	d.versions[u.GetUid()]++
	u.Etag, u.UpdateTime = fmt.Sprintf("%q", fmt.Sprintf("%s-%d", u.GetUid(), d.versions[u.GetUid()])), timestamppb.New(d.now)
	d.users[id] = u
	d.tell(kind, u)
}

func (d *directory) rename(id, name string) {
	d.put(id, func(u *userv1.User) { u.DisplayName = name })
}

func (d *directory) remove(id string, removed bool) {
	d.put(id, func(u *userv1.User) {
		if u.DeleteTime = nil; removed {
			u.DeleteTime = timestamppb.New(d.now)
		}
	})
}

func (d *directory) suspend(id string, suspended bool) {
	d.put(id, func(u *userv1.User) {
		if u.State = userv1.User_STATE_ACTIVE; suspended {
			u.State = userv1.User_STATE_SUSPENDED
		}
	})
}

func (d *directory) purge(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell(userv1.WatchUsersResponse_TYPE_DELETED, d.users[id])
	delete(d.users, id)
}

// tell logs a change. The caller holds mu.
func (d *directory) tell(kind userv1.WatchUsersResponse_Type, u *userv1.User) {
	d.log = append(d.log, &userv1.WatchUsersResponse{Type: kind, User: u, Revision: d.revision(len(d.log) + 1)})
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *directory) revision(n int) string { return fmt.Sprintf("%d@%d", n, d.epoch) }

// forget drops the log, as its compaction does.
func (d *directory) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.compacted = len(d.log)
}

// watching is one watch of a directory.
type watching struct {
	grpc.ClientStream
	d       *directory
	ctx     context.Context
	initial []*userv1.WatchUsersResponse
	next    int // in the log
}

// WatchUsers begins a watch.
func (d *directory) WatchUsers(ctx context.Context, req *userv1.WatchUsersRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[userv1.WatchUsersResponse], error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		if err := d.refuse(req); err != nil {
			return nil, err
		}
	}
	w := &watching{d: d, ctx: ctx, next: len(d.log)}
	if req.GetStartRevision() != "" {
		var epoch int
		if _, err := fmt.Sscanf(req.GetStartRevision(), "%d@%d", &w.next, &epoch); err != nil {
			return nil, err
		}
		switch {
		case epoch != d.epoch || w.next > len(d.log):
			return nil, errs.FromWire(errs.OutOfRange("REVISION_UNKNOWN", "another database"))
		case w.next < d.compacted:
			return nil, errs.FromWire(errs.OutOfRange("REVISION_COMPACTED", "gone"))
		}
		return w, nil
	}
	for _, u := range d.users {
		w.initial = append(w.initial, &userv1.WatchUsersResponse{Type: userv1.WatchUsersResponse_TYPE_ADDED, User: u})
	}
	slices.SortFunc(w.initial, func(a, b *userv1.WatchUsersResponse) int {
		return strings.Compare(a.GetUser().GetName(), b.GetUser().GetName())
	})
	w.initial = append(w.initial, &userv1.WatchUsersResponse{Type: userv1.WatchUsersResponse_TYPE_BOOKMARK, Revision: d.revision(w.next), InitialStateEnd: true})
	return w, nil
}

// Recv returns the next message, a bookmark when nothing happens for a second.
func (w *watching) Recv() (*userv1.WatchUsersResponse, error) {
	if w.d.cut != nil {
		if err := w.d.cut(); err != nil {
			return nil, err
		}
	}
	if len(w.initial) > 0 {
		m := w.initial[0]
		w.initial = w.initial[1:]
		return m, nil
	}
	for {
		w.d.mu.Lock()
		changed := w.d.changed
		if w.next < len(w.d.log) {
			w.next++
			defer w.d.mu.Unlock()
			return w.d.log[w.next-1], nil
		}
		revision := w.d.revision(w.next)
		w.d.mu.Unlock()
		idle := time.NewTimer(time.Second)
		defer idle.Stop()
		select {
		case <-changed:
		case <-idle.C:
			return &userv1.WatchUsersResponse{Type: userv1.WatchUsersResponse_TYPE_BOOKMARK, Revision: revision}, nil
		case <-w.ctx.Done():
			return nil, w.ctx.Err()
		}
	}
}

// BatchGetUsers answers for all names or none.
func (d *directory) BatchGetUsers(ctx context.Context, req *userv1.BatchGetUsersRequest, _ ...grpc.CallOption) (*userv1.BatchGetUsersResponse, error) {
	if d.batchGet != nil {
		return d.batchGet(ctx, req.GetNames())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	resp := &userv1.BatchGetUsersResponse{}
	for i, name := range req.GetNames() {
		u := d.users[strings.TrimPrefix(name, "users/")]
		if u == nil {
			return nil, errs.FromWire(errs.NotFound("USER_NOT_FOUND", "no such user").With(errs.Meta("index", fmt.Sprint(i))))
		}
		resp.Users = append(resp.Users, u)
	}
	return resp, nil
}

// history reads all there is.
func history(t testing.TB, s repository.Store) []repository.Change {
	t.Helper()
	all, err := s.List(context.Background(), repository.Query{Limit: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// lines are changes as a person would note them: "UPDATED ada [email]".
func lines(changes []repository.Change) []string {
	var out []string
	for _, c := range changes {
		line := c.Kind.String()
		if c.UserID != "" {
			line += " " + c.UserID
		}
		if c.Fields != 0 {
			line += fmt.Sprint(" ", c.Fields.Names())
		}
		if c.Inferred {
			line += " inferred"
		}
		out = append(out, line)
	}
	return out
}
