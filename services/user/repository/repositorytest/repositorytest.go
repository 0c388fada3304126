// Package repositorytest is the one suite that every repository.Store passes.
package repositorytest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// Factory makes databases for the suite.
type Factory interface {
	// Database returns a function that opens one more handle on one new,
	// empty database, as another instance of a service would. Handles take
	// the time from now; the suite calls Migrate on and closes each.
	Database(tb testing.TB) func(now func() time.Time) repository.Store
}

// FactoryFunc makes a function a Factory.
type FactoryFunc func(tb testing.TB) func(now func() time.Time) repository.Store

// Database calls f.
func (f FactoryFunc) Database(tb testing.TB) func(now func() time.Time) repository.Store {
	return f(tb)
}

// Run runs the suite. Each test has a database of its own.
func Run(t *testing.T, f Factory) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, Factory)
	}{
		{"Users", testUsers},
		{"Email", testEmail},
		{"Requests", testRequests},
		{"List", testList},
		{"Import", testImport},
		{"Changes", testChanges},
		{"Purge", testPurge},
		{"Model", testModel},
		{"Concurrency", testConcurrency},
		{"Cancellation", testCancellation},
		{"Migrate", testMigrate},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, f) })
	}
}

// Clock is a clock that moves only when told to. It is safe for concurrent
// use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock returns a clock that stands at some instant of 2026.
func NewClock() *Clock {
	return &Clock{at: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)}
}

// Now returns the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// env is one database with a clock.
type env struct {
	t     *testing.T
	clock *Clock
	open  func(now func() time.Time) repository.Store
	repository.Store
}

func newEnv(t *testing.T, f Factory) *env {
	t.Helper()
	e := &env{t: t, clock: NewClock(), open: f.Database(t)}
	e.Store = e.another()
	return e
}

// another opens one more handle, as another instance does.
func (e *env) another() repository.Store {
	e.t.Helper()
	s := e.open(e.clock.Now)
	e.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			e.t.Errorf("close the store: %v", err)
		}
	})
	if err := s.Migrate(e.t.Context()); err != nil {
		e.t.Fatalf("migrate: %v", err)
	}
	return s
}

// user returns a user to create.
func user(id string) repository.User {
	return repository.User{
		ID: id, Email: id + "@Example.com", EmailKey: id + "@example.com",
		DisplayName: "Name of " + id, GivenName: "Given", FamilyName: "Family",
		Labels: map[string]string{"team": "a", "id": id},
	}
}

func (e *env) create(ids ...string) []repository.User {
	e.t.Helper()
	var users []repository.User
	for _, id := range ids {
		r, err := e.Create(e.t.Context(), user(id), repository.Write{})
		if err != nil {
			e.t.Fatalf("create %s: %v", id, err)
		}
		users = append(users, r.User)
	}
	return users
}

// events returns all events after a revision.
func events(t *testing.T, s repository.Store, after int64) []repository.Event {
	t.Helper()
	var all []repository.Event
	for {
		evs, err := s.Events(t.Context(), after, 100)
		if err != nil {
			t.Fatalf("events after %d: %v", after, err)
		}
		if len(evs) == 0 {
			return all
		}
		all = append(all, evs...)
		after = evs[len(evs)-1].Revision
	}
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func rename(name string) func(*repository.User) error {
	return func(u *repository.User) error {
		u.DisplayName = name
		return nil
	}
}

// request returns a request whose response names the user and its version.
func request(id, body string) *repository.Request {
	hash := sha256.Sum256([]byte(body))
	return &repository.Request{
		ID: id, Scope: "caller", Method: "/test/Method", Hash: hash[:],
		Response: func(r repository.Result) ([]byte, error) {
			return fmt.Appendf(nil, "%s@%d", r.User.ID, r.User.Version), nil
		},
	}
}

// parallel runs n functions at once and waits for all.
func parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

// within bounds what would hang if a store were wrong.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
