package repositorytest

import (
	"errors"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testRequests(t *testing.T, f Factory) {
	t.Run("a replay on another handle gets the first answer", func(t *testing.T) { testReplay(t, newEnv(t, f)) })
	t.Run("a request ID does not serve two requests", func(t *testing.T) { testReuse(t, newEnv(t, f)) })
	t.Run("a failed request is not remembered", func(t *testing.T) {
		e := newEnv(t, f)
		w := repository.Write{Request: request("r", "b")}
		if _, err := e.Delete(t.Context(), "ann", time.Hour, w); !errors.Is(err, repository.ErrNotFound) {
			t.Fatal(err)
		}
		e.create("ann")
		if r, err := e.Delete(t.Context(), "ann", time.Hour, w); err != nil || r.Replayed || !r.Changed {
			t.Fatalf("second try: %+v, %v", r, err)
		}
	})
	t.Run("a delete that found nothing is remembered", func(t *testing.T) { testDeleteOfNothing(t, newEnv(t, f)) })
	t.Run("a request is forgotten after a day", func(t *testing.T) {
		e := newEnv(t, f)
		if _, err := e.Create(t.Context(), user("ann"), repository.Write{Request: request("r", "b")}); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(repository.RequestTTL - time.Second)
		if r, err := e.Create(t.Context(), user("ann"), repository.Write{Request: request("r", "b")}); err != nil || !r.Replayed {
			t.Fatalf("within a day: %+v, %v", r, err)
		}
		e.clock.Advance(time.Second)
		if r, err := e.Create(t.Context(), user("bob"), repository.Write{Request: request("r", "other")}); err != nil || r.Replayed {
			t.Fatalf("after a day: %+v, %v", r, err)
		}
	})
	t.Run("of many at once one has its effect and all get its answer", func(t *testing.T) { testSameRequestAtOnce(t, newEnv(t, f)) })
}

func testReplay(t *testing.T, e *env) {
	other := e.another()
	for _, s := range []struct {
		name string
		do   func(s repository.Store, w repository.Write) (repository.Result, error)
	}{
		{"create", func(s repository.Store, w repository.Write) (repository.Result, error) {
			return s.Create(t.Context(), user("ann"), w)
		}},
		{"update", func(s repository.Store, w repository.Write) (repository.Result, error) {
			return s.Update(t.Context(), "ann", rename("Ann"), nil, w)
		}},
		{"update without change", func(s repository.Store, w repository.Write) (repository.Result, error) {
			return s.Update(t.Context(), "ann", rename("Ann"), nil, w)
		}},
		{"suspend", func(s repository.Store, w repository.Write) (repository.Result, error) {
			return s.SetState(t.Context(), "ann", repository.StateSuspended, w)
		}},
		{"delete", func(s repository.Store, w repository.Write) (repository.Result, error) {
			return s.Delete(t.Context(), "ann", time.Hour, w)
		}},
		{"undelete", func(s repository.Store, w repository.Write) (repository.Result, error) {
			return s.Undelete(t.Context(), "ann", w)
		}},
	} {
		w := repository.Write{Request: request(s.name, "body")}
		first, err := s.do(e, w)
		if err != nil || first.Replayed || len(first.Response) == 0 {
			t.Fatalf("%s: %+v, %v", s.name, first, err)
		}
		before := len(events(t, e, 0))
		again, err := s.do(other, w)
		if err != nil || !again.Replayed || string(again.Response) != string(first.Response) {
			t.Fatalf("%s again: %+v, %v, want the answer %q", s.name, again, err, first.Response)
		}
		if after := len(events(t, e, 0)); after != before {
			t.Fatalf("%s again wrote %d events", s.name, after-before)
		}
	}
}

// testDeleteOfNothing lets deletes succeed that find nothing, then makes
// something to delete: a replay must not touch it.
func testDeleteOfNothing(t *testing.T, e *env) {
	del := func(id string) repository.Result {
		t.Helper()
		r, err := e.Delete(t.Context(), "ann", time.Hour, repository.Write{AllowMissing: true, Request: request(id, "body")})
		if err != nil {
			t.Fatalf("delete %s: %v", id, err)
		}
		return r
	}
	live := func(when string) {
		t.Helper()
		if u, err := e.Get(t.Context(), "ann"); err != nil || u.Deleted() {
			t.Errorf("%s: %+v, %v; want a live user", when, u, err)
		}
	}
	if r := del("nobody"); r.Changed || r.User.ID != "ann" || r.User.UID != "" {
		t.Errorf("delete of nobody: %+v", r)
	}
	e.create("ann")
	if r := del("nobody"); !r.Replayed {
		t.Errorf("replay: %+v", r)
	}
	live("after the replay of a delete of nobody")
	if r := del("somebody"); !r.Changed || !r.User.Deleted() {
		t.Errorf("delete: %+v", r)
	}
	before := len(events(t, e, 0))
	if r := del("deleted"); r.Changed || !r.User.Deleted() {
		t.Errorf("delete of a deleted one: %+v", r)
	}
	if n := len(events(t, e, 0)); n != before {
		t.Errorf("a delete of a deleted one wrote %d events", n-before)
	}
	if _, err := e.Undelete(t.Context(), "ann", repository.Write{}); err != nil {
		t.Fatal(err)
	}
	if r := del("deleted"); !r.Replayed || string(r.Response) != "ann@2" {
		t.Errorf("replay: %+v", r)
	}
	live("after the replay of a delete of a deleted one")
}

func testReuse(t *testing.T, e *env) {
	if _, err := e.Create(t.Context(), user("ann"), repository.Write{Request: request("r", "body")}); err != nil {
		t.Fatal(err)
	}
	otherBody, otherMethod, otherScope := request("r", "other"), request("r", "body"), request("r", "other")
	otherMethod.Method = "/test/Other"
	otherScope.Scope = "somebody else"
	for name, req := range map[string]*repository.Request{"another body": otherBody, "another method": otherMethod} {
		if _, err := e.Create(t.Context(), user("bob"), repository.Write{Request: req}); !errors.Is(err, repository.ErrRequestReused) {
			t.Errorf("%s: error is %v, want ErrRequestReused", name, err)
		}
	}
	if r, err := e.Create(t.Context(), user("bob"), repository.Write{Request: otherScope}); err != nil || r.Replayed {
		t.Errorf("another caller: %+v, %v", r, err)
	}
}

func testSameRequestAtOnce(t *testing.T, e *env) {
	e.create("ann")
	handles := []repository.Store{e.Store, e.another()}
	ctx := within(t)
	const n = 16
	answers := make([]string, n)
	var effects [n]bool
	parallel(n, func(i int) {
		w := repository.Write{Request: request("same", "body")}
		grow := func(u *repository.User) error { u.DisplayName += "+"; return nil }
		r, err := handles[i%2].Update(ctx, "ann", grow, nil, w)
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
		answers[i], effects[i] = string(r.Response), !r.Replayed
	})
	var count int
	for i := range n {
		if effects[i] {
			count++
		}
		if answers[i] != "ann@2" {
			t.Errorf("call %d got %q, want ann@2", i, answers[i])
		}
	}
	if count != 1 {
		t.Errorf("%d effects, want 1", count)
	}
}
