package repositorytest

import (
	"errors"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testPurge(t *testing.T, f Factory) {
	t.Run("one instance at a time holds the lease", func(t *testing.T) {
		e := newEnv(t, f)
		other := e.another()
		held := func(s repository.Store, owner string) bool {
			t.Helper()
			r, err := s.Purge(t.Context(), repository.PurgeRound{Owner: owner, Lease: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			return r.Held
		}
		if !held(e, "one") || held(other, "two") || !held(e, "one") {
			t.Error("the lease is not the first owner's")
		}
		e.clock.Advance(time.Minute)
		if !held(other, "two") || held(e, "one") {
			t.Error("an expired lease is not the next owner's")
		}
	})
	t.Run("expired users and records go, others stay", func(t *testing.T) { testPurgeUsers(t, newEnv(t, f)) })
}

func testPurgeUsers(t *testing.T, e *env) {
	w := func(id string) repository.Write { return repository.Write{Request: request(id, "b")} }
	e.create("live", "soon", "late")
	for id, ttl := range map[string]time.Duration{"soon": time.Hour, "late": 100 * time.Hour} {
		if _, err := e.Delete(t.Context(), id, ttl, w(id)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Import(t.Context(), repository.ImportBatch{ID: "i", Items: batch("u", 1, 3)}); err != nil {
		t.Fatal(err)
	}
	last, err := e.Get(t.Context(), "soon")
	if err != nil {
		t.Fatal(err)
	}
	head, err := e.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	round := func(want repository.PurgeResult) {
		t.Helper()
		got, err := e.Purge(t.Context(), repository.PurgeRound{Owner: "me", Batch: 2})
		if err != nil {
			t.Fatal(err)
		}
		want.Held = true
		diff(t, "purge", got, want)
	}
	round(repository.PurgeResult{})
	e.clock.Advance(time.Hour)
	round(repository.PurgeResult{Users: 1})
	e.clock.Advance(repository.RequestTTL)
	round(repository.PurgeResult{Requests: 2, Imports: 2, More: true})
	round(repository.PurgeResult{Imports: 1})
	if _, err := e.Get(t.Context(), "soon"); !errors.Is(err, repository.ErrNotFound) {
		t.Errorf("purged user: %v", err)
	}
	if _, err := e.Undelete(t.Context(), "soon", repository.Write{}); !errors.Is(err, repository.ErrNotFound) {
		t.Errorf("undelete of a purged user: %v", err)
	}
	evs := events(t, e, head.Revision)
	if len(evs) != 1 || evs[0].Kind != repository.EventPurged {
		t.Fatalf("events of the purge: %v", evs)
	}
	diff(t, "last state", evs[0].User, last)
	again := e.create("soon")[0]
	if again.UID == last.UID || again.Version != 1 {
		t.Errorf("created again: %+v", again)
	}
	if _, err := e.Undelete(t.Context(), "late", repository.Write{}); err != nil {
		t.Errorf("undelete before the purge: %v", err)
	}
}

func testMigrate(t *testing.T, f Factory) {
	t.Run("many at once on an empty database", func(t *testing.T) {
		ctx := within(t)
		clock := NewClock()
		open := f.Database(t)
		stores := make([]repository.Store, 6)
		for i := range stores {
			stores[i] = open(clock.Now)
		}
		parallel(len(stores), func(i int) {
			if err := stores[i].Migrate(ctx); err != nil {
				t.Errorf("migrate %d: %v", i, err)
				return
			}
			if err := stores[i].Ping(ctx); err != nil {
				t.Errorf("ping %d: %v", i, err)
			}
			if _, err := stores[i].Head(ctx); err != nil {
				t.Errorf("head %d: %v", i, err)
			}
		})
		for i, s := range stores {
			if err := s.Close(); err != nil {
				t.Errorf("close %d: %v", i, err)
			}
			if _, err := s.Create(ctx, user("ann"), repository.Write{}); !errors.Is(err, repository.ErrUnavailable) {
				t.Errorf("create on a closed store: %v", err)
			}
			if _, err := s.Get(ctx, "ann"); !errors.Is(err, repository.ErrUnavailable) {
				t.Errorf("get on a closed store: %v", err)
			}
		}
	})
}
