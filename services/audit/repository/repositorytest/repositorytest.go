// Package repositorytest is the one suite that every repository.Store of the
// audit service passes.
package repositorytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// Factory makes databases for the suite: it returns a function that opens one
// more handle on one new, empty database, as another instance of the service
// would. Handles take the time from now; the suite calls Migrate on and closes
// each.
type Factory func(tb testing.TB) func(now func() time.Time) repository.Store

// Run runs the suite. Each test has a database of its own.
func Run(t *testing.T, f Factory) {
	for _, group := range []struct {
		name string
		run  func(*testing.T, *env)
	}{
		{"Lease", testLease},
		{"Append", testAppend},
		{"Fencing", testFencing},
		{"Repeat", testRepeat},
		{"Subjects", testSubjects},
		{"List", testList},
		{"Consumers", testConsumers},
		{"Recorders", testRecorders},
		{"Cancellation", testCancellation},
		{"Migrate", testMigrate},
		{"Close", testClose},
	} {
		t.Run(group.name, func(t *testing.T) { group.run(t, newEnv(t, f)) })
	}
}

// lease is how long leases of the suite last, by its clock.
const lease = 2 * time.Second

// clock moves only when told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// env is one database with a clock.
type env struct {
	t     *testing.T
	clock clock
	open  func(now func() time.Time) repository.Store
	repository.Store
}

func newEnv(t *testing.T, f Factory) *env {
	t.Helper()
	e := &env{t: t, clock: clock{at: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)}, open: f(t)}
	e.Store = e.another()
	return e
}

// another opens one more handle, as another instance does.
func (e *env) another() repository.Store {
	e.t.Helper()
	s := e.open(e.clock.now)
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

func (e *env) acquire(s repository.Store, owner string) repository.Lease {
	e.t.Helper()
	l, err := s.Acquire(e.t.Context(), owner, lease)
	if err != nil {
		e.t.Fatalf("acquire for %s: %v", owner, err)
	}
	return l
}

// batch goes on from a state: it changes nothing but what is set afterwards.
func batch(l repository.Lease, changes ...repository.Change) repository.Batch {
	return repository.Batch{
		Fence: l.Fence, From: l.State, Changes: changes,
		Cursor: fmt.Sprintf("cursor-%d", l.State.Step+1), Generation: max(l.State.Generation, 1),
	}
}

// append appends under a lease, and moves the lease's state on.
func (e *env) append(l *repository.Lease, b repository.Batch) {
	e.t.Helper()
	next, err := e.Append(e.t.Context(), b, lease)
	if err != nil {
		e.t.Fatalf("append: %v", err)
	}
	l.State = next
}

// change is the version-th change of a user.
func change(id string, version int) repository.Change {
	return repository.Change{
		Kind: repository.KindUpdated, UserID: id, UserUID: "uid-" + id, UserETag: fmt.Sprintf(`"%s-%d"`, id, version),
		Fields: repository.FieldEmail | repository.FieldLabels,
	}
}

// history reads all there is, by small pages.
func history(t *testing.T, s repository.Store) []repository.Change {
	t.Helper()
	var all []repository.Change
	for after := int64(0); ; {
		page, err := s.List(t.Context(), repository.Query{After: after, Limit: 7})
		if err != nil {
			t.Fatalf("list after %d: %v", after, err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		after = page[len(page)-1].Position
	}
}

func diff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got the error %v; want %v", what, err, want)
	}
}

func testCancellation(t *testing.T, e *env) {
	l := e.acquire(e, "a")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, call := range []struct {
		name string
		run  func() error
	}{
		{"Head", func() error { _, err := e.Head(gone); return err }},
		{"Get", func() error { _, err := e.Get(gone, 1); return err }},
		{"List", func() error { _, err := e.List(gone, repository.Query{Limit: 1}); return err }},
		{"Acquire", func() error { _, err := e.Acquire(gone, "b", lease); return err }},
		{"Renew", func() error { return e.Renew(gone, l.Fence, lease) }},
		{"Release", func() error { return e.Release(gone, l.Fence) }},
		{"Subjects", func() error { _, err := e.Subjects(gone, []string{"u"}); return err }},
		{"Unseen", func() error { _, err := e.Unseen(gone, 1, 1); return err }},
		{"Append", func() error { _, err := e.Append(gone, batch(l, change("ada", 1)), lease); return err }},
		{"Open", func() error { _, err := e.Open(gone, "c", 0); return err }},
		{"Acknowledge", func() error { return e.Acknowledge(gone, repository.Consumer{Name: "c"}) }},
		{"Check", func() error { return e.Check(gone, repository.Consumer{Name: "c"}) }},
		{"Ping", func() error { return e.Ping(gone) }},
	} {
		wantError(t, call.name, call.run(), context.Canceled)
	}
	if got := history(t, e); len(got) != 0 {
		t.Errorf("canceled calls left %v", got)
	}
	e.append(&l, batch(l, change("ada", 1))) // the lease was not harmed
}

func testMigrate(t *testing.T, e *env) {
	l := e.acquire(e, "a")
	e.append(&l, batch(l, change("ada", 1)))
	var wg sync.WaitGroup
	for range 4 {
		s := e.open(e.clock.now)
		wg.Go(func() {
			defer s.Close()
			if err := s.Migrate(t.Context()); err != nil {
				t.Errorf("migrate at once with others: %v", err)
			}
		})
	}
	wg.Wait()
	if n := len(history(t, e)); n != 1 {
		t.Errorf("the history has %d changes after migrating again; want 1", n)
	}
}

func testClose(t *testing.T, e *env) {
	s := e.another()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Head(t.Context())
	wantError(t, "Head of a closed store", err, repository.ErrUnavailable)
	_, err = s.Acquire(t.Context(), "a", lease)
	wantError(t, "Acquire of a closed store", err, repository.ErrUnavailable)
}
