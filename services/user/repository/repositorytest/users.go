package repositorytest

import (
	"errors"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// step is one write in a table, with what it must answer.
type step struct {
	name string
	do   func(e *env) (repository.Result, error)
	want error                // errors.Is; nil: success
	user func(*wantUser)      // what the user is like after success
	kind repository.EventKind // the event it writes; 0: none
}

type wantUser struct {
	version int64
	display string
	state   repository.State
	deleted bool
	created bool
}

func testUsers(t *testing.T, f Factory) {
	t.Run("a user is created with what the store gives it", func(t *testing.T) {
		e := newEnv(t, f)
		got := e.create("ann")[0]
		if len(got.UID) != 36 {
			t.Errorf("UID is %q, want a UUID", got.UID)
		}
		want := user("ann")
		want.UID, want.Version, want.State = got.UID, 1, repository.StateActive
		want.CreateTime, want.UpdateTime = e.clock.Now(), e.clock.Now()
		diff(t, "created", got, want)
		read, err := e.Get(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "read", read, want)
	})
	t.Run("each write answers by the state it finds", func(t *testing.T) { runSteps(t, newEnv(t, f), lifeSteps()) })
	t.Run("match decides on the stored user", func(t *testing.T) { testMatch(t, newEnv(t, f)) })
	t.Run("a dry run changes nothing", func(t *testing.T) { testDryRun(t, newEnv(t, f)) })
	t.Run("a batch is read whole or not at all", func(t *testing.T) { testBatchGet(t, newEnv(t, f)) })
	t.Run("what cannot be stored is refused", func(t *testing.T) { testInvalid(t, newEnv(t, f)) })
	t.Run("an error of the mutation ends the update", func(t *testing.T) {
		e := newEnv(t, f)
		e.create("ann")
		mine := errors.New("mine")
		_, err := e.Update(t.Context(), "ann", func(*repository.User) error { return mine }, nil, repository.Write{})
		if !errors.Is(err, mine) {
			t.Fatalf("error is %v, want the mutation's", err)
		}
	})
}

func lifeSteps() []step {
	w := repository.Write{}
	update := func(id, name string, insert *repository.User) func(e *env) (repository.Result, error) {
		return func(e *env) (repository.Result, error) { return e.Update(e.t.Context(), id, rename(name), insert, w) }
	}
	del := func(e *env) (repository.Result, error) { return e.Delete(e.t.Context(), "ann", time.Hour, w) }
	undelete := func(e *env) (repository.Result, error) { return e.Undelete(e.t.Context(), "ann", w) }
	create := func(e *env) (repository.Result, error) { return e.Create(e.t.Context(), user("ann"), w) }
	state := func(s repository.State) func(e *env) (repository.Result, error) {
		return func(e *env) (repository.Result, error) { return e.SetState(e.t.Context(), "ann", s, w) }
	}
	at := func(version int64, display string, s repository.State, deleted bool) func(*wantUser) {
		return func(u *wantUser) { u.version, u.display, u.state, u.deleted = version, display, s, deleted }
	}
	active, suspended := repository.StateActive, repository.StateSuspended
	insert := user("bob")
	return []step{
		{"update of nobody", update("ann", "x", nil), repository.ErrNotFound, nil, 0},
		{"delete of nobody", del, repository.ErrNotFound, nil, 0},
		{"undelete of nobody", undelete, repository.ErrNotFound, nil, 0},
		{"state of nobody", state(suspended), repository.ErrNotFound, nil, 0},
		{"create", create, nil, at(1, "Name of ann", active, false), repository.EventCreated},
		{"create again", create, repository.ErrExists, nil, 0},
		{"update", update("ann", "Ann", nil), nil, at(2, "Ann", active, false), repository.EventUpdated},
		{"update without change", update("ann", "Ann", nil), nil, at(2, "Ann", active, false), 0},
		{"undelete of a live one", undelete, repository.ErrNotDeleted, nil, 0},
		{"suspend", state(suspended), nil, at(3, "Ann", suspended, false), repository.EventUpdated},
		{"suspend again", state(suspended), nil, at(3, "Ann", suspended, false), 0},
		{"update keeps the state", update("ann", "Anna", nil), nil, at(4, "Anna", suspended, false), repository.EventUpdated},
		{"no such state", state(9), repository.ErrInvalid, nil, 0},
		{"delete", del, nil, at(5, "Anna", suspended, true), repository.EventDeleted},
		{"delete again", del, repository.ErrDeleted, nil, 0},
		{"update of a deleted one", update("ann", "x", nil), repository.ErrDeleted, nil, 0},
		{"state of a deleted one", state(active), repository.ErrDeleted, nil, 0},
		{"create over a deleted one", create, repository.ErrExists, nil, 0},
		{"undelete", undelete, nil, at(6, "Anna", suspended, false), repository.EventUndeleted},
		{"activate", state(active), nil, at(7, "Anna", active, false), repository.EventUpdated},
		{"update or insert inserts", update("bob", "x", &insert), nil, at(1, "Name of bob", active, false), repository.EventCreated},
		{"update or insert updates", update("bob", "Bob", &insert), nil, at(2, "Bob", active, false), repository.EventUpdated},
	}
}

func runSteps(t *testing.T, e *env, steps []step) {
	var revision int64
	for _, s := range steps {
		e.clock.Advance(time.Second)
		r, err := s.do(e)
		if !errors.Is(err, s.want) {
			t.Fatalf("%s: error is %v, want %v", s.name, err, s.want)
		}
		if s.user != nil {
			checkStep(t, e, s, r)
		}
		evs := events(t, e, revision)
		switch {
		case s.kind == 0 && len(evs) != 0:
			t.Fatalf("%s: wrote events %v, want none", s.name, evs)
		case s.kind != 0 && (len(evs) != 1 || evs[0].Kind != s.kind):
			t.Fatalf("%s: wrote events %v, want one of kind %v", s.name, evs, s.kind)
		case s.kind != 0:
			diff(t, s.name+": user of the event", evs[0].User, r.User)
			revision = evs[0].Revision
		}
	}
}

func checkStep(t *testing.T, e *env, s step, r repository.Result) {
	t.Helper()
	var want wantUser
	s.user(&want)
	got := wantUser{r.User.Version, r.User.DisplayName, r.User.State, r.User.Deleted(), false}
	if got != want {
		t.Errorf("%s: user is %+v, want %+v", s.name, got, want)
	}
	if r.Changed != (s.kind != 0) {
		t.Errorf("%s: Changed is %v", s.name, r.Changed)
	}
	if r.Changed && !r.User.UpdateTime.Equal(e.clock.Now()) {
		t.Errorf("%s: UpdateTime is %v, want now", s.name, r.User.UpdateTime)
	}
	if r.User.Deleted() && (!r.User.DeleteTime.Equal(e.clock.Now()) || !r.User.PurgeTime.Equal(e.clock.Now().Add(time.Hour))) {
		t.Errorf("%s: DeleteTime is %v, PurgeTime is %v", s.name, r.User.DeleteTime, r.User.PurgeTime)
	}
	read, err := e.Get(t.Context(), r.User.ID)
	if err != nil {
		t.Fatalf("%s: read back: %v", s.name, err)
	}
	diff(t, s.name+": read back", read, r.User)
}

func testMatch(t *testing.T, e *env) {
	e.create("ann")
	w := repository.Write{Match: func(u *repository.User) bool { return u.Version == 1 }}
	if _, err := e.Update(t.Context(), "ann", rename("two"), nil, w); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() (repository.Result, error){
		"update": func() (repository.Result, error) { return e.Update(t.Context(), "ann", rename("three"), nil, w) },
		"delete": func() (repository.Result, error) { return e.Delete(t.Context(), "ann", time.Hour, w) },
		"state": func() (repository.Result, error) {
			return e.SetState(t.Context(), "ann", repository.StateSuspended, w)
		},
	} {
		_, err := do()
		var ve *repository.VersionError
		if !errors.As(err, &ve) || !errors.Is(err, repository.ErrVersionMismatch) || ve.Current.Version != 2 || ve.Current.DisplayName != "two" {
			t.Errorf("%s at an old version: %v, want a VersionError with the current user", name, err)
		}
	}
}

func testDryRun(t *testing.T, e *env) {
	e.create("ann")
	w := repository.Write{DryRun: true, Request: request("r1", "body")}
	if r, err := e.Create(t.Context(), user("bob"), w); err != nil || r.User.ID != "bob" {
		t.Errorf("dry create: %v, %v", r, err)
	}
	if _, err := e.Create(t.Context(), user("ann"), w); !errors.Is(err, repository.ErrExists) {
		t.Errorf("dry create of one that exists: %v", err)
	}
	clash := user("carl")
	clash.EmailKey = "ann@example.com"
	if _, err := e.Create(t.Context(), clash, w); !errors.Is(err, repository.ErrExists) {
		t.Errorf("dry create with a taken e-mail: %v", err)
	}
	if _, err := e.Delete(t.Context(), "ann", time.Hour, w); err != nil {
		t.Errorf("dry delete: %v", err)
	}
	if _, err := e.Get(t.Context(), "bob"); !errors.Is(err, repository.ErrNotFound) {
		t.Errorf("after a dry create: %v", err)
	}
	if n := len(events(t, e, 0)); n != 1 {
		t.Errorf("%d events, want the one of the real create", n)
	}
	if r, err := e.Create(t.Context(), user("bob"), repository.Write{Request: request("r1", "body")}); err != nil || r.Replayed {
		t.Errorf("a dry run was remembered: %v, %v", r, err)
	}
}

func testBatchGet(t *testing.T, e *env) {
	u := e.create("ann", "bob", "carl")
	if _, err := e.Delete(t.Context(), "bob", time.Hour, repository.Write{}); err != nil {
		t.Fatal(err)
	}
	got, err := e.BatchGet(t.Context(), []string{"carl", "bob", "ann", "carl"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 || got[0].UID != u[2].UID || !got[1].Deleted() || got[2].UID != u[0].UID || got[3].UID != u[2].UID {
		t.Errorf("got %v", got)
	}
	_, err = e.BatchGet(t.Context(), []string{"ann", "nobody"})
	var nf *repository.NotFoundError
	if !errors.As(err, &nf) || nf.ID != "nobody" || nf.Index != 1 {
		t.Errorf("with a missing one: %v", err)
	}
}

func testInvalid(t *testing.T, e *env) {
	for name, change := range map[string]func(*repository.User){
		"no ID":         func(u *repository.User) { u.ID = "" },
		"NUL":           func(u *repository.User) { u.DisplayName = "a\x00b" },
		"not UTF-8":     func(u *repository.User) { u.GivenName = "a\xff" },
		"label":         func(u *repository.User) { u.Labels = map[string]string{"a": "\x00"} },
		"unknown state": func(u *repository.User) { u.State = 7 },
	} {
		u := user("ann")
		change(&u)
		if _, err := e.Create(t.Context(), u, repository.Write{}); !errors.Is(err, repository.ErrInvalid) {
			t.Errorf("%s: error is %v, want ErrInvalid", name, err)
		}
	}
	odd := user("odd")
	odd.DisplayName, odd.Labels = "ß 日本 \u202e \U0001F600 '\"%_\\", map[string]string{`k"'.$[0]\`: `v"'\`, "": "empty key"}
	got, err := e.Create(t.Context(), odd, repository.Write{})
	if err != nil {
		t.Fatal(err)
	}
	read, err := e.Get(t.Context(), "odd")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "odd text", read, got.User)
}

func testEmail(t *testing.T, f Factory) {
	w := repository.Write{}
	withEmail := func(id, key string) repository.User {
		u := user(id)
		u.EmailKey = key
		return u
	}
	wantTaken := func(t *testing.T, err error) {
		t.Helper()
		var ee *repository.ExistsError
		if !errors.As(err, &ee) || ee.Field != repository.ConflictEmail || ee.Value != "x@example.com" {
			t.Fatalf("error is %v, want an ExistsError for the e-mail x@example.com", err)
		}
	}
	t.Run("live users do not share one", func(t *testing.T) {
		e := newEnv(t, f)
		if _, err := e.Create(t.Context(), withEmail("ann", "x@example.com"), w); err != nil {
			t.Fatal(err)
		}
		_, err := e.Create(t.Context(), withEmail("bob", "x@example.com"), w)
		wantTaken(t, err)
		e.create("carl")
		_, err = e.Update(t.Context(), "carl", func(u *repository.User) error { u.EmailKey = "x@example.com"; return nil }, nil, w)
		wantTaken(t, err)
	})
	t.Run("any number have none", func(t *testing.T) {
		e := newEnv(t, f)
		for _, id := range []string{"ann", "bob"} {
			if _, err := e.Create(t.Context(), withEmail(id, ""), w); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a soft-deleted user does not hold it", func(t *testing.T) {
		e := newEnv(t, f)
		if _, err := e.Create(t.Context(), withEmail("ann", "x@example.com"), w); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Delete(t.Context(), "ann", time.Hour, w); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Create(t.Context(), withEmail("bob", "x@example.com"), w); err != nil {
			t.Fatalf("take the e-mail of a deleted user: %v", err)
		}
		_, err := e.Undelete(t.Context(), "ann", w)
		wantTaken(t, err)
		if _, err := e.Delete(t.Context(), "bob", time.Hour, w); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Undelete(t.Context(), "ann", w); err != nil {
			t.Fatalf("undelete when the e-mail is free again: %v", err)
		}
	})
}
