package internal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/keelson-dev/keelson/errs"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
	"github.com/keelson-dev/keelson/services/user/internal"
	"github.com/keelson-dev/keelson/services/user/repository"
)

type watchStream = grpc.ServerStreamingClient[userv1.WatchUsersResponse]

func watch(t testing.TB, c userv1.UserServiceClient, req *userv1.WatchUsersRequest) watchStream {
	t.Helper()
	return wantOK[watchStream](t)(c.WatchUsers(soon(t), req))
}

// next is the next message that is no bookmark of an idle stream.
func next(t testing.TB, s watchStream) *userv1.WatchUsersResponse {
	t.Helper()
	for {
		m := wantOK[*userv1.WatchUsersResponse](t)(s.Recv())
		if m.GetType() != userv1.WatchUsersResponse_TYPE_BOOKMARK || m.GetInitialStateEnd() {
			return m
		}
	}
}

// show is a message in short: ADDED anna.
func show(m *userv1.WatchUsersResponse) string {
	text := strings.TrimPrefix(m.GetType().String(), "TYPE_")
	if m.GetUser() != nil {
		text += " " + strings.TrimPrefix(m.GetUser().GetName(), "users/")
	}
	if m.GetInitialStateEnd() {
		text += " end"
	}
	return text
}

func wantMessages(t testing.TB, s watchStream, want ...string) (last *userv1.WatchUsersResponse) {
	t.Helper()
	for i, w := range want {
		last = next(t, s)
		if show(last) != w {
			t.Fatalf("message %d is %s; want %s", i, show(last), w)
		}
	}
	return last
}

// history changes users in each way there is.
func history(t testing.TB, c userv1.UserServiceClient) {
	t.Helper()
	create(t, c, "anna", nil)
	create(t, c, "bert", &userv1.User{Labels: map[string]string{"team": "infra"}})
	wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/anna", Labels: map[string]string{"team": "infra"}}}))
	wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/bert", DisplayName: "B"}}))
	wantOK[*userv1.User](t)(c.SuspendUser(soon(t), &userv1.SuspendUserRequest{Name: "users/bert"}))
	wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"}))
	wantOK[*userv1.User](t)(c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: "users/anna"}))
	wantOK[*userv1.User](t)(c.UpdateUser(soon(t), &userv1.UpdateUserRequest{User: &userv1.User{Name: "users/bert", Labels: map[string]string{"team": "sales"}}}))
	create(t, c, "last", &userv1.User{Labels: map[string]string{"team": "infra"}})
}

func TestWatchShowsEachChangeThroughItsFilter(t *testing.T) {
	tests := []struct {
		name string
		req  *userv1.WatchUsersRequest
		want []string
	}{
		{"all", &userv1.WatchUsersRequest{}, []string{
			"ADDED anna", "ADDED bert", "MODIFIED anna", "MODIFIED bert", "MODIFIED bert", "DELETED anna", "ADDED anna", "MODIFIED bert", "ADDED last",
		}},
		{"deleted ones too", &userv1.WatchUsersRequest{ShowDeleted: true}, []string{
			"ADDED anna", "ADDED bert", "MODIFIED anna", "MODIFIED bert", "MODIFIED bert", "MODIFIED anna", "MODIFIED anna", "MODIFIED bert", "ADDED last",
		}},
		{"by label", &userv1.WatchUsersRequest{Filter: `labels.team = "infra"`}, []string{
			"ADDED bert", "ADDED anna", "MODIFIED bert", "MODIFIED bert", "DELETED anna", "ADDED anna", "DELETED bert", "ADDED last",
		}},
		{"by state", &userv1.WatchUsersRequest{Filter: `state = ACTIVE`}, []string{
			"ADDED anna", "ADDED bert", "MODIFIED anna", "MODIFIED bert", "DELETED bert", "DELETED anna", "ADDED anna", "ADDED last",
		}},
	}
	path := filepath.Join(t.TempDir(), "users.db")
	a := serve(t, openStore(t, path), internal.HandlerConfig{})
	b := serve(t, openStore(t, path), internal.HandlerConfig{})
	begin := wantOK[*userv1.ListUsersResponse](t)(a.ListUsers(soon(t), &userv1.ListUsersRequest{})).GetRevision()
	live := map[string]watchStream{}
	for _, tt := range tests {
		tt.req.StartRevision = begin
		live[tt.name] = watch(t, b, tt.req) // the other instance
	}
	history(t, a)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wantMessages(t, live[tt.name], tt.want...)
			for _, c := range []*instance{a, b} { // from the store, afterwards
				wantMessages(t, watch(t, c, tt.req), tt.want...)
			}
			// From any message on, the rest follows.
			s := watch(t, a, tt.req)
			for i := range tt.want {
				m := next(t, s)
				rest := watch(t, b, &userv1.WatchUsersRequest{StartRevision: m.GetRevision(), Filter: tt.req.GetFilter(), ShowDeleted: tt.req.GetShowDeleted()})
				wantMessages(t, rest, tt.want[i+1:]...)
			}
		})
	}
}

func TestWatchCarriesTheLastStateOfADeletedUser(t *testing.T) {
	c := newInstance(t)
	create(t, c, "anna", &userv1.User{DisplayName: "Anna"})
	s := watch(t, c, &userv1.WatchUsersRequest{})
	wantMessages(t, s, "ADDED anna", "BOOKMARK end")
	gone := wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/anna"}))
	if diff := cmp.Diff(gone, next(t, s).GetUser(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestWatchBeginsWithTheStateAsItIs(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name string
		req  *userv1.WatchUsersRequest
		want []string // before the bookmark
	}{
		{"by default", &userv1.WatchUsersRequest{}, []string{"ADDED anna", "ADDED carl", "BOOKMARK end"}},
		{"when asked", &userv1.WatchUsersRequest{IncludeInitialState: &yes}, []string{"ADDED anna", "ADDED carl", "BOOKMARK end"}},
		{"deleted ones too", &userv1.WatchUsersRequest{ShowDeleted: true}, []string{"ADDED anna", "ADDED bert", "ADDED carl", "BOOKMARK end"}},
		{"filtered", &userv1.WatchUsersRequest{Filter: `name > "users/anna"`}, []string{"ADDED carl", "BOOKMARK end"}},
		{"not when unwanted", &userv1.WatchUsersRequest{IncludeInitialState: &no}, []string{"BOOKMARK"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newInstance(t)
			for _, id := range []string{"anna", "bert", "carl"} {
				create(t, c, id, nil)
			}
			wantOK[*userv1.User](t)(c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: "users/bert"}))
			s := watch(t, c, tt.req)
			var last *userv1.WatchUsersResponse
			for _, want := range tt.want {
				if last = wantOK[*userv1.WatchUsersResponse](t)(s.Recv()); show(last) != want {
					t.Fatalf("message is %s; want %s", show(last), want)
				}
			}
			if last.GetRevision() == "" {
				t.Error("the bookmark has no revision")
			}
			create(t, c, "dora", nil)
			wantMessages(t, s, "ADDED dora")
			wantMessages(t, watch(t, c, &userv1.WatchUsersRequest{StartRevision: last.GetRevision()}), "ADDED dora")
		})
	}
}

// mirror is what a client knows that keeps a copy of the collection.
type mirror struct {
	t     testing.TB
	users map[string]*userv1.User
	seen  map[string]bool // revisions
	token string
}

func newMirror(t testing.TB) *mirror {
	return &mirror{t: t, users: map[string]*userv1.User{}, seen: map[string]bool{}}
}

// apply checks that a message fits what is known, and learns it.
func (m *mirror) apply(msg *userv1.WatchUsersResponse) {
	m.t.Helper()
	name := msg.GetUser().GetName()
	known := m.users[name]
	switch msg.GetType() {
	case userv1.WatchUsersResponse_TYPE_ADDED:
		if known != nil {
			m.t.Errorf("%s is known: %v", show(msg), known)
		}
		m.users[name] = msg.GetUser()
	case userv1.WatchUsersResponse_TYPE_MODIFIED:
		if known == nil || known.GetEtag() == msg.GetUser().GetEtag() || known.GetUpdateTime().AsTime().After(msg.GetUser().GetUpdateTime().AsTime()) {
			m.t.Errorf("%s after %v", msg, known)
		}
		m.users[name] = msg.GetUser()
	case userv1.WatchUsersResponse_TYPE_DELETED:
		if known == nil {
			m.t.Errorf("%s is not known", show(msg))
		}
		delete(m.users, name)
	}
	if msg.GetType() != userv1.WatchUsersResponse_TYPE_BOOKMARK && msg.GetRevision() != "" {
		if m.seen[msg.GetRevision()] {
			m.t.Errorf("%s came twice", show(msg))
		}
		m.seen[msg.GetRevision()] = true
	}
	m.token = msg.GetRevision()
}

// follow applies messages until the user whose creation ends the test is seen.
func (m *mirror) follow(s watchStream, last string) error {
	for {
		msg, err := s.Recv()
		if err != nil {
			return err
		}
		m.apply(msg)
		if m.users["users/"+last] != nil {
			return nil
		}
	}
}

// want compares with what a list says.
func (m *mirror) want(c userv1.UserServiceClient, filter string) {
	m.t.Helper()
	want := map[string]*userv1.User{}
	for _, u := range listAll(m.t, c, &userv1.ListUsersRequest{PageSize: 1000, Filter: filter}) {
		want[u.GetName()] = u
	}
	if diff := cmp.Diff(want, m.users, protocmp.Transform()); diff != "" {
		m.t.Errorf("the mirror differs (-list +watch):\n%s", diff)
	}
}

// churn changes users at random-looking points from several writers at once.
func churn(t testing.TB, instances []*instance, writers, rounds int) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			c := instances[w%len(instances)]
			for i := range rounds {
				id := fmt.Sprintf("user-%d-%d", w, i%7)
				name, team := "users/"+id, fmt.Sprint(i%2)
				_, err := c.UpdateUser(soon(t), &userv1.UpdateUserRequest{AllowMissing: true, User: &userv1.User{
					Name: name, Email: id + "@example.com", DisplayName: fmt.Sprint(i), Labels: map[string]string{"team": team},
				}})
				if err == nil && i%3 == 0 {
					_, err = c.DeleteUser(soon(t), &userv1.DeleteUserRequest{Name: name})
				} else if errs.Code(err) == codes.FailedPrecondition {
					_, err = c.UndeleteUser(soon(t), &userv1.UndeleteUserRequest{Name: name})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestWatchersOnEveryInstanceMirrorConcurrentWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	instances := []*instance{serve(t, openStore(t, path), internal.HandlerConfig{}), serve(t, openStore(t, path), internal.HandlerConfig{})}
	old := make([]*userv1.ImportUsersRequest, 1200) // more than two pages of initial state
	for i := range old {
		old[i] = itemOf(int64(i), fmt.Sprintf("old-%04d", i), &userv1.User{Email: fmt.Sprintf("old-%d@example.com", i), Labels: map[string]string{"team": "1"}})
	}
	importAll(t, instances[0], "old", old...)
	type watched struct {
		filter string
		m      *mirror
		err    error
	}
	var all []*watched
	var wg sync.WaitGroup
	start := func(n int) {
		for _, filter := range []string{"", `labels.team = "1" OR name = "users/last"`} {
			w := &watched{filter: filter, m: newMirror(t)}
			all = append(all, w)
			s := watch(t, instances[n%2], &userv1.WatchUsersRequest{Filter: filter})
			wg.Go(func() { w.err = w.m.follow(s, "last") })
		}
	}
	start(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		churn(t, instances, 4, 60)
	}()
	for n := range 6 { // while it changes
		start(n)
	}
	<-done
	create(t, instances[1], "last", &userv1.User{Labels: map[string]string{"team": "1"}})
	wg.Wait()
	for _, w := range all {
		if w.err != nil {
			t.Fatal(w.err)
		}
		w.m.want(instances[0], w.filter)
	}
}

func TestListThenWatchMissesAndRepeatsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	instances := []*instance{serve(t, openStore(t, path), internal.HandlerConfig{}), serve(t, openStore(t, path), internal.HandlerConfig{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		churn(t, instances, 2, 50)
	}()
	m := newMirror(t)
	page := wantOK[*userv1.ListUsersResponse](t)(instances[0].ListUsers(soon(t), &userv1.ListUsersRequest{PageSize: 1000}))
	for _, u := range page.GetUsers() {
		m.users[u.GetName()] = u
	}
	s := watch(t, instances[1], &userv1.WatchUsersRequest{StartRevision: page.GetRevision()})
	<-done
	create(t, instances[1], "last", nil)
	if err := m.follow(s, "last"); err != nil {
		t.Fatal(err)
	}
	m.want(instances[1], "")
}

func TestWatchSendsBookmarksWhileIdle(t *testing.T) {
	c := serve(t, newStore(t), internal.HandlerConfig{Watch: internal.WatchConfig{Bookmark: 5 * time.Millisecond}})
	s := watch(t, c, &userv1.WatchUsersRequest{Filter: `name = "users/anna"`})
	first := wantMessages(t, s, "BOOKMARK end")
	create(t, c, "bert", nil) // out of view
	var revision string
	for revision == "" || revision == first.GetRevision() {
		m := wantOK[*userv1.WatchUsersResponse](t)(s.Recv())
		if m.GetType() != userv1.WatchUsersResponse_TYPE_BOOKMARK || m.GetInitialStateEnd() {
			t.Fatalf("got %v", m)
		}
		revision = m.GetRevision()
	}
	create(t, c, "anna", nil)
	wantMessages(t, s, "ADDED anna")
	// The bookmark moved past what was out of view.
	wantMessages(t, watch(t, c, &userv1.WatchUsersRequest{StartRevision: revision}), "ADDED anna")
}

func TestWatchRefusesWhatItCannotBeginFrom(t *testing.T) {
	c, other := newInstance(t), newInstance(t)
	create(t, c, "anna", nil)
	revision := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), &userv1.ListUsersRequest{})).GetRevision()
	yes := true
	for name, tt := range map[string]struct {
		req    *userv1.WatchUsersRequest
		code   codes.Code
		reason string
		field  string
	}{
		"garbage":          {&userv1.WatchUsersRequest{StartRevision: "x"}, codes.InvalidArgument, internal.ReasonInvalidRequest, "start_revision"},
		"a changed one":    {&userv1.WatchUsersRequest{StartRevision: revision[:len(revision)-1] + "_"}, codes.InvalidArgument, internal.ReasonInvalidRequest, "start_revision"},
		"a wrong filter":   {&userv1.WatchUsersRequest{Filter: "nosuch = 1"}, codes.InvalidArgument, internal.ReasonInvalidRequest, "filter"},
		"both":             {&userv1.WatchUsersRequest{StartRevision: revision, IncludeInitialState: &yes}, codes.InvalidArgument, internal.ReasonInvalidRequest, "include_initial_state"},
		"another database": {&userv1.WatchUsersRequest{StartRevision: revision}, codes.OutOfRange, internal.ReasonRevisionUnknown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := watch(t, other, tt.req).Recv()
			wantError(t, err, tt.code, tt.reason, tt.field)
		})
	}
}

func TestWatchFromACompactedRevisionSaysToListAgain(t *testing.T) {
	c := newInstance(t)
	begin := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), &userv1.ListUsersRequest{})).GetRevision()
	history(t, c)
	later := wantOK[*userv1.ListUsersResponse](t)(c.ListUsers(soon(t), &userv1.ListUsersRequest{})).GetRevision()
	if err := internal.NewPurger(c.store, "me", internal.PurgeConfig{EventCount: 2, Batch: 2}, nil).Purge(soon(t)); err != nil {
		t.Fatal(err)
	}
	_, err := watch(t, c, &userv1.WatchUsersRequest{StartRevision: begin}).Recv()
	e := wantError(t, err, codes.OutOfRange, internal.ReasonRevisionCompacted, "")
	if e.Meta("compacted_revision") == "" || !strings.Contains(e.Message(), "list the users again") {
		t.Errorf("error is %v with %v", e, e.Metadata())
	}
	s := watch(t, c, &userv1.WatchUsersRequest{StartRevision: later})
	create(t, c, "dora", nil)
	wantMessages(t, s, "ADDED dora")
}

// A client that does not read is cut off, with a token from which it has all.
func TestWatchCutsOffASlowConsumer(t *testing.T) {
	left := make(chan error, 8)
	watchEnds := grpc.StreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		err := h(srv, ss)
		left <- err
		return err
	})
	path := filepath.Join(t.TempDir(), "users.db")
	c := serve(t, openStore(t, path), internal.HandlerConfig{Watch: internal.WatchConfig{Ring: 16}}, watchEnds)
	other := serve(t, openStore(t, path), internal.HandlerConfig{}) // with room for whoever resumes, however late it hears of the writes
	s := watch(t, c, &userv1.WatchUsersRequest{})
	wantMessages(t, s, "BOOKMARK end")
	long := strings.Repeat("x", 128)
	labels := map[string]string{}
	for i := range 60 {
		labels[fmt.Sprintf("key-%d", i)] = long
	}
	n := 0
	for cut := false; !cut; n++ { // fills gRPC's windows, then falls behind
		create(t, c, fmt.Sprintf("user-%05d", n), &userv1.User{Labels: maps.Clone(labels)})
		select {
		case <-left: // without having read a single message since
			cut = true
		default:
		}
	}
	m := newMirror(t)
	err := m.follow(s, "last")
	e := wantError(t, err, codes.Aborted, internal.ReasonSlowConsumer, "")
	token, ok := errs.ResumeToken(e)
	if !ok {
		t.Fatalf("no token in %v", e.Metadata())
	}
	create(t, c, "last", nil)
	for _, from := range []string{token, m.token} {
		rest := newMirror(t)
		rest.users = maps.Clone(m.users)
		if from == token {
			rest.seen = maps.Clone(m.seen)
		}
		if err := rest.follow(watch(t, other, &userv1.WatchUsersRequest{StartRevision: from}), "last"); err != nil {
			t.Fatal(err)
		}
		rest.want(c, "")
	}
}

func TestWatchEndsWithATokenWhenTheInstanceDrains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	a := serve(t, openStore(t, path), internal.HandlerConfig{})
	b := serve(t, openStore(t, path), internal.HandlerConfig{})
	s := watch(t, a, &userv1.WatchUsersRequest{})
	wantMessages(t, s, "BOOKMARK end")
	create(t, b, "anna", nil)
	wantMessages(t, s, "ADDED anna")
	close(a.drain)
	_, err := s.Recv()
	token, ok := errs.ResumeToken(wantDraining(t, err))
	if !ok {
		t.Fatal("no token")
	}
	create(t, b, "bert", nil)
	wantMessages(t, watch(t, b, &userv1.WatchUsersRequest{StartRevision: token}), "ADDED bert")
}

func TestWatchEndsItselfWithATokenAtItsAge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.db")
	c := serve(t, openStore(t, path), internal.HandlerConfig{Watch: internal.WatchConfig{MaxAge: 20 * time.Millisecond}})
	other := serve(t, openStore(t, path), internal.HandlerConfig{}) // whose watches have the time to show what follows
	create(t, c, "anna", nil)
	s := watch(t, c, &userv1.WatchUsersRequest{})
	wantMessages(t, s, "ADDED anna", "BOOKMARK end")
	_, err := s.Recv()
	e := wantError(t, err, codes.Aborted, internal.ReasonWatchExpired, "")
	token, _ := errs.ResumeToken(e)
	create(t, c, "bert", nil)
	wantMessages(t, watch(t, other, &userv1.WatchUsersRequest{StartRevision: token}), "ADDED bert")
}

func TestWatchEndsWithItsCaller(t *testing.T) {
	c := newInstance(t)
	ctx, cancel := context.WithCancel(soon(t))
	s := wantOK[watchStream](t)(c.WatchUsers(ctx, &userv1.WatchUsersRequest{}))
	wantMessages(t, s, "BOOKMARK end")
	cancel()
	if _, err := s.Recv(); errs.Code(err) != codes.Canceled || errors.Is(err, io.EOF) {
		t.Errorf("error is %v", err)
	}
}

// pollCounter counts who waits for changes, and can fail.
type pollCounter struct {
	repository.Store
	mu      sync.Mutex
	waiting int
	most    int
	broken  bool
	failed  chan struct{}
}

func (p *pollCounter) Wait(ctx context.Context, after int64) (repository.Head, error) {
	p.mu.Lock()
	p.waiting++
	p.most = max(p.most, p.waiting)
	broken := p.broken
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.waiting--
		p.mu.Unlock()
	}()
	if broken {
		select {
		case p.failed <- struct{}{}:
		default:
		}
		return repository.Head{}, repository.ErrUnavailable
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	head, err := p.Store.Wait(ctx, after)
	if errors.Is(err, context.DeadlineExceeded) {
		return head, repository.ErrUnavailable
	}
	return head, err
}

func TestOnePollerFeedsAllWatchersAndOutlastsTheStore(t *testing.T) {
	store := &pollCounter{Store: newStore(t), failed: make(chan struct{})}
	c := serve(t, store, internal.HandlerConfig{})
	streams := make([]watchStream, 20)
	for i := range streams {
		streams[i] = watch(t, c, &userv1.WatchUsersRequest{})
		wantMessages(t, streams[i], "BOOKMARK end")
	}
	create(t, c, "anna", nil)
	for _, s := range streams {
		wantMessages(t, s, "ADDED anna")
	}
	store.mu.Lock()
	store.broken = true
	store.mu.Unlock()
	create(t, c, "bert", nil)
	<-store.failed
	store.mu.Lock()
	store.broken = false
	store.mu.Unlock()
	for _, s := range streams {
		wantMessages(t, s, "ADDED bert")
	}
	store.mu.Lock()
	defer store.mu.Unlock()
	if store.most != 1 {
		t.Errorf("%d waited at once; want 1", store.most)
	}
}
