package repositorytest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testChanges(t *testing.T, f Factory) {
	t.Run("an event holds the user before and after", func(t *testing.T) { testEventContent(t, newEnv(t, f)) })
	t.Run("a revision belongs to one database", func(t *testing.T) {
		e, stranger := newEnv(t, f), newEnv(t, f)
		a, err := e.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.another().Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c, err := stranger.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a.Epoch == "" || a.Epoch != b.Epoch || a.Epoch == c.Epoch {
			t.Errorf("epochs %q and %q of one database, %q of another", a.Epoch, b.Epoch, c.Epoch)
		}
	})
	t.Run("concurrent writers on two handles make one order", func(t *testing.T) { testOneOrder(t, newEnv(t, f)) })
	t.Run("what happened before comes before", func(t *testing.T) { testCausality(t, newEnv(t, f)) })
	t.Run("waiting ends with a change anywhere", func(t *testing.T) { testWait(t, newEnv(t, f)) })
	t.Run("what is compacted is told", func(t *testing.T) { testCompaction(t, newEnv(t, f)) })
}

func testEventContent(t *testing.T, e *env) {
	created := e.create("ann")[0]
	e.clock.Advance(time.Second)
	r, err := e.Update(t.Context(), "ann", func(u *repository.User) error {
		u.DisplayName, u.Labels = "Ann", nil
		return nil
	}, nil, repository.Write{})
	if err != nil {
		t.Fatal(err)
	}
	updated := r.User
	if r, err = e.Delete(t.Context(), "ann", time.Hour, repository.Write{}); err != nil {
		t.Fatal(err)
	}
	at := e.clock.Now()
	diff(t, "events", events(t, e, 0), []repository.Event{
		{Revision: 1, Kind: repository.EventCreated, Time: at.Add(-time.Second), User: created},
		{Revision: 2, Kind: repository.EventUpdated, Time: at, User: updated, Before: &created},
		{Revision: 3, Kind: repository.EventDeleted, Time: at, User: r.User, Before: &updated},
	})
	if evs, err := e.Events(t.Context(), 1, 1); err != nil || len(evs) != 1 || evs[0].Revision != 2 {
		t.Errorf("one event after 1: %v, %v", evs, err)
	}
}

// testOneOrder reads on both handles while both write.
func testOneOrder(t *testing.T, e *env) {
	ctx := within(t)
	handles := []repository.Store{e.Store, e.another()}
	e.create("a", "b", "c")
	const writers, writes = 6, 25
	const total = 3 + writers*writes
	seen := make([][]repository.Event, len(handles))
	parallel(writers+len(handles), func(i int) {
		if i >= writers {
			seen[i-writers] = follow(ctx, t, handles[i-writers], total)
			return
		}
		id := []string{"a", "b", "c"}[i%3]
		for n := range writes {
			if _, err := handles[i%2].Update(ctx, id, rename(fmt.Sprint(i, n)), nil, repository.Write{}); err != nil {
				t.Errorf("update: %v", err)
				return
			}
		}
	})
	diff(t, "two readers", seen[1], seen[0])
	versions := map[string]int64{}
	for i, ev := range seen[0] {
		if ev.Revision != int64(i+1) {
			t.Fatalf("event %d has revision %d", i, ev.Revision)
		}
		if ev.User.Version != versions[ev.User.ID]+1 {
			t.Fatalf("revision %d: %s goes from version %d to %d", ev.Revision, ev.User.ID, versions[ev.User.ID], ev.User.Version)
		}
		versions[ev.User.ID]++
	}
}

// follow reads the stream as a watcher does, until it has n events.
func follow(ctx context.Context, t *testing.T, s repository.Store, n int) []repository.Event {
	var got []repository.Event
	var after int64
	for len(got) < n {
		if _, err := s.Wait(ctx, after); err != nil {
			t.Errorf("wait after %d: %v", after, err)
			return got
		}
		evs, err := s.Events(ctx, after, 10)
		if err != nil {
			t.Errorf("events after %d: %v", after, err)
			return got
		}
		for _, ev := range evs {
			after = ev.Revision
			got = append(got, ev)
		}
	}
	return got
}

// testCausality passes an e-mail from user to user through two handles while
// others write: who took it later comes later.
func testCausality(t *testing.T, e *env) {
	ctx := within(t)
	handles := []repository.Store{e.Store, e.another()}
	noise, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		parallel(3, func(i int) {
			for n := 0; noise.Err() == nil; n++ {
				_, err := handles[i%2].Create(noise, user(fmt.Sprintf("noise-%d-%d", i, n)), repository.Write{})
				if err != nil && noise.Err() == nil {
					t.Errorf("create: %v", err)
					return
				}
			}
		})
	}()
	const hops = 20
	for i := range hops {
		u := user(fmt.Sprintf("hop-%d", i))
		u.EmailKey = "ball@example.com"
		if _, err := handles[i%2].Create(ctx, u, repository.Write{}); err != nil {
			t.Fatal(err)
		}
		if _, err := handles[(i+1)%2].Delete(ctx, u.ID, time.Hour, repository.Write{}); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	<-done
	var n int
	for _, ev := range events(t, e, 0) {
		if ev.User.EmailKey != "ball@example.com" {
			continue
		}
		want := fmt.Sprintf("hop-%d", n/2)
		if ev.User.ID != want || ev.User.Version != int64(n%2+1) {
			t.Fatalf("change %d of the e-mail's holder is %s at version %d, want %s", n, ev.User.ID, ev.User.Version, want)
		}
		n++
	}
	if n != 2*hops {
		t.Errorf("%d changes, want %d", n, 2*hops)
	}
}

func testWait(t *testing.T, e *env) {
	ctx := within(t)
	other := e.another()
	for i, writer := range []repository.Store{e.Store, other} {
		head, err := e.Head(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan repository.Head, 1)
		go func() {
			h, err := e.Wait(ctx, head.Revision)
			if err != nil {
				t.Errorf("wait: %v", err)
			}
			got <- h
		}()
		if _, err := writer.Create(ctx, user(fmt.Sprint("user-", i)), repository.Write{}); err != nil {
			t.Fatal(err)
		}
		if h := <-got; h.Revision != head.Revision+1 {
			t.Errorf("handle %d: waited until %d, want %d", i, h.Revision, head.Revision+1)
		}
	}
	closing := e.open(e.clock.Now)
	closed := make(chan error, 1)
	go func() {
		_, err := closing.Wait(ctx, 1000)
		closed <- err
	}()
	if err := closing.Close(); err != nil {
		t.Error(err)
	}
	if err := <-closed; !errors.Is(err, repository.ErrUnavailable) {
		t.Errorf("wait on a store that closes: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	errs := make(chan error, 1)
	go func() {
		_, err := e.Wait(canceled, 1000)
		errs <- err
	}()
	cancel()
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled wait: %v", err)
	}
}

func testCompaction(t *testing.T, e *env) {
	for i := range 6 {
		e.create(fmt.Sprint("user-", i))
		e.clock.Advance(time.Minute)
	}
	round := func(p repository.PurgeRound, removed int, compacted int64) {
		t.Helper()
		p.Owner = "me"
		if h, err := e.Head(t.Context()); err != nil || h.Revision != 6 { // all are numbered
			t.Fatalf("head: %+v, %v", h, err)
		}
		r, err := e.Purge(t.Context(), p)
		if err != nil || !r.Held || r.Events != removed {
			t.Fatalf("purge %+v: %+v, %v, want %d events removed", p, r, err, removed)
		}
		h, err := e.Head(t.Context())
		if err != nil || h.Compacted != compacted || h.Revision != 6 {
			t.Fatalf("head after %+v: %+v, %v, want compacted up to %d", p, h, err, compacted)
		}
	}
	round(repository.PurgeRound{}, 0, 0)
	round(repository.PurgeRound{EventAge: 4*time.Minute + time.Second}, 2, 2)
	round(repository.PurgeRound{EventCount: 3}, 1, 3)
	round(repository.PurgeRound{EventCount: 1, Batch: 1}, 1, 4)
	_, err := e.Events(t.Context(), 3, 10)
	var ce *repository.CompactedError
	if !errors.As(err, &ce) || !errors.Is(err, repository.ErrCompacted) || ce.Compacted != 4 || ce.Asked != 3 {
		t.Fatalf("events after 3: %v", err)
	}
	if evs, err := e.Events(t.Context(), 4, 10); err != nil || len(evs) != 2 || evs[0].Revision != 5 {
		t.Fatalf("events after 4: %v, %v", evs, err)
	}
	round(repository.PurgeRound{EventAge: time.Nanosecond}, 2, 6)
	e.create("late")
	if evs := events(t, e, 6); len(evs) != 1 || evs[0].Revision != 7 {
		t.Fatalf("after everything was compacted: %v", evs)
	}
}
