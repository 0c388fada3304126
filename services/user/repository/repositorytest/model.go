package repositorytest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// model is the store as it must behave, in memory.
type model struct {
	s       repository.Store
	clock   *Clock
	users   map[string]repository.User
	answers map[string]string // by request ID
	bodies  map[string]string
	events  int64
}

func testModel(t *testing.T, f Factory) {
	t.Run("random operations answer as the model does", func(t *testing.T) {
		e := newEnv(t, f)
		handles := []repository.Store{e.Store, e.another()}
		m := &model{clock: e.clock, users: map[string]repository.User{}, answers: map[string]string{}, bodies: map[string]string{}}
		rapid.Check(t, func(rt *rapid.T) {
			// one long history over all runs: what a run leaves is the next one's start
			m.s = handles[rapid.IntRange(0, 1).Draw(rt, "handle")]
			rt.Repeat(map[string]func(*rapid.T){
				"create":   m.create,
				"update":   m.update,
				"delete":   m.delete,
				"undelete": m.undelete,
				"state":    m.state,
				"import":   m.importBatch,
				"purge":    m.purge,
				"list":     m.list,
				"":         m.check,
			})
		})
	})
}

func (m *model) id(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(rt, "id")
}

func (m *model) draw(rt *rapid.T, id string) repository.User {
	key := rapid.SampledFrom([]string{"", "x@a", "y@a", "z@a"}).Draw(rt, "email")
	return repository.User{ID: id, Email: key, EmailKey: key, DisplayName: rapid.SampledFrom([]string{"", "N", "n"}).Draw(rt, "name"),
		Labels: rapid.SampledFrom([]map[string]string{nil, {"a": "1"}, {"a": "2", "b": ""}}).Draw(rt, "labels")}
}

func (m *model) taken(id, key string) bool {
	for _, u := range m.users {
		if u.ID != id && key != "" && u.EmailKey == key && !u.Deleted() {
			return true
		}
	}
	return false
}

// do runs a write, with a request ID at times, and checks its answer: want
// is the error, or the content that the user must have.
func (m *model) do(rt *rapid.T, body string, want error, content repository.User, call func(repository.Write) (repository.Result, error)) {
	m.clock.Advance(time.Millisecond)
	var w repository.Write
	if n := rapid.IntRange(0, 6).Draw(rt, "request"); n > 0 {
		w.Request = request(fmt.Sprint("r", n, m.clock.Now().Unix()/60), body)
	}
	if w.Request != nil {
		if old, ok := m.bodies[w.Request.ID]; ok {
			m.replay(rt, w, old == body, call)
			return
		}
	}
	r, err := call(w)
	if !errors.Is(err, want) {
		rt.Fatalf("%s: error is %v, want %v", body, err, want)
	}
	if err != nil {
		return
	}
	if w.Request != nil {
		m.bodies[w.Request.ID], m.answers[w.Request.ID] = body, string(r.Response)
	}
	before, existed := m.users[r.User.ID]
	if existed && before.Deleted() == r.User.Deleted() && repository.SameContent(&before, &content) {
		if r.Changed || !r.User.UpdateTime.Equal(before.UpdateTime) || r.User.Version != before.Version {
			rt.Fatalf("%s: nothing to change, but got %+v", body, r)
		}
		return
	}
	if !r.Changed || r.User.Version != before.Version+1 || !repository.SameContent(&r.User, &content) {
		rt.Fatalf("%s: got %+v, want version %d of %+v", body, r, before.Version+1, content)
	}
	m.events++
	m.users[r.User.ID] = r.User
}

func (m *model) replay(rt *rapid.T, w repository.Write, same bool, call func(repository.Write) (repository.Result, error)) {
	r, err := call(w)
	switch {
	case !same && !errors.Is(err, repository.ErrRequestReused):
		rt.Fatalf("reused request ID: %+v, %v", r, err)
	case same && (err != nil || !r.Replayed || string(r.Response) != m.answers[w.Request.ID]):
		rt.Fatalf("replay: %+v, %v, want %q", r, err, m.answers[w.Request.ID])
	}
}

func (m *model) create(rt *rapid.T) {
	u := m.draw(rt, m.id(rt))
	_, exists := m.users[u.ID]
	var want error
	if exists || m.taken(u.ID, u.EmailKey) {
		want = repository.ErrExists
	}
	content := u
	content.State = repository.StateActive
	m.do(rt, fmt.Sprint("create", u), want, content, func(w repository.Write) (repository.Result, error) {
		return m.s.Create(rt.Context(), u, w)
	})
}

func (m *model) update(rt *rapid.T) {
	id := m.id(rt)
	u := m.draw(rt, id)
	cur, exists := m.users[id]
	upsert := rapid.Bool().Draw(rt, "upsert")
	content := u
	content.State = cur.State
	var want error
	var insert *repository.User
	if upsert {
		insert = &u
	}
	switch {
	case !exists && !upsert:
		want = repository.ErrNotFound
	case cur.Deleted():
		want = repository.ErrDeleted
	case m.taken(id, u.EmailKey):
		want = repository.ErrExists
	case !exists:
		content.State = repository.StateActive
	}
	mutate := func(x *repository.User) error {
		*x = u // also what the store must keep: UID, State, times
		return nil
	}
	m.do(rt, fmt.Sprint("update", u, upsert), want, content, func(w repository.Write) (repository.Result, error) {
		return m.s.Update(rt.Context(), id, mutate, insert, w)
	})
}

func (m *model) delete(rt *rapid.T) {
	id := m.id(rt)
	u, exists := m.users[id]
	want := error(nil)
	if !exists {
		want = repository.ErrNotFound
	} else if u.Deleted() {
		want = repository.ErrDeleted
	}
	m.do(rt, "delete"+id, want, u, func(w repository.Write) (repository.Result, error) {
		return m.s.Delete(rt.Context(), id, time.Minute, w)
	})
}

func (m *model) undelete(rt *rapid.T) {
	id := m.id(rt)
	u, exists := m.users[id]
	want := error(nil)
	switch {
	case !exists:
		want = repository.ErrNotFound
	case !u.Deleted():
		want = repository.ErrNotDeleted
	case m.taken(id, u.EmailKey):
		want = repository.ErrExists
	}
	m.do(rt, "undelete"+id, want, u, func(w repository.Write) (repository.Result, error) {
		return m.s.Undelete(rt.Context(), id, w)
	})
}

func (m *model) state(rt *rapid.T) {
	id := m.id(rt)
	u, exists := m.users[id]
	want := error(nil)
	if !exists {
		want = repository.ErrNotFound
	} else if u.Deleted() {
		want = repository.ErrDeleted
	}
	u.State = rapid.SampledFrom([]repository.State{repository.StateActive, repository.StateSuspended}).Draw(rt, "state")
	m.do(rt, fmt.Sprint("state", id, u.State), want, u, func(w repository.Write) (repository.Result, error) {
		return m.s.SetState(rt.Context(), id, u.State, w)
	})
}

func (m *model) importBatch(rt *rapid.T) {
	m.clock.Advance(time.Millisecond)
	var b repository.ImportBatch
	b.ID = fmt.Sprint("import-", m.clock.Now().UnixNano())
	for i := range rapid.IntRange(1, 4).Draw(rt, "items") {
		b.Items = append(b.Items, repository.ImportItem{Sequence: int64(i), User: m.draw(rt, m.id(rt))})
	}
	got, err := m.s.Import(rt.Context(), b)
	if err != nil {
		rt.Fatal(err)
	}
	for i, item := range b.Items {
		_, exists := m.users[item.User.ID]
		if bad := exists || m.taken(item.User.ID, item.User.EmailKey); bad != (got[i].Err != nil) {
			rt.Fatalf("item %d of %+v: %+v, want an error: %v", i, b, got[i], bad)
		}
		if got[i].Err != nil {
			continue
		}
		u := item.User
		u.UID, u.Version, u.State = got[i].UID, 1, repository.StateActive
		u.CreateTime, u.UpdateTime = m.clock.Now(), m.clock.Now()
		m.users[u.ID] = u
		m.events++
	}
}

func (m *model) purge(rt *rapid.T) {
	m.clock.Advance(20 * time.Second)
	r, err := m.s.Purge(rt.Context(), repository.PurgeRound{Owner: "model"})
	if err != nil {
		rt.Fatal(err)
	}
	maps.DeleteFunc(m.users, func(_ string, u repository.User) bool {
		gone := u.Deleted() && !u.PurgeTime.After(m.clock.Now())
		if gone {
			m.events++
			r.Users--
		}
		return gone
	})
	if r.Users != 0 {
		rt.Fatalf("purged %d users more than the model", r.Users)
	}
}

func (m *model) list(rt *rapid.T) {
	field := rapid.SampledFrom([]repository.Field{repository.FieldID, repository.FieldEmailKey, repository.FieldDisplayName, repository.FieldCreateTime, repository.FieldUpdateTime}).Draw(rt, "order")
	order := []repository.Order{{Field: field, Desc: rapid.Bool().Draw(rt, "desc")}}
	deleted := rapid.Bool().Draw(rt, "deleted")
	q := repository.Query{Order: order, Limit: rapid.IntRange(1, 4).Draw(rt, "limit"), ShowDeleted: deleted}
	var got []string
	for {
		page, err := m.s.List(rt.Context(), q)
		if err != nil {
			rt.Fatal(err)
		}
		got = append(got, ids(page.Users)...)
		if q.After = page.Next; q.After == nil {
			break
		}
	}
	want := ids(sorted(slices.Collect(maps.Values(m.users)), order, deleted))
	if !slices.Equal(got, want) {
		rt.Fatalf("list %+v: %v, want %v", q, got, want)
	}
}

// check compares every user and the length of the stream.
func (m *model) check(rt *rapid.T) {
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		got, err := m.s.Get(rt.Context(), id)
		want, exists := m.users[id]
		if !exists {
			if !errors.Is(err, repository.ErrNotFound) {
				rt.Fatalf("get %s: %+v, %v, want ErrNotFound", id, got, err)
			}
			continue
		}
		if err != nil || !repository.SameContent(&got, &want) || got.UID != want.UID || got.Version != want.Version ||
			!got.UpdateTime.Equal(want.UpdateTime) || !got.CreateTime.Equal(want.CreateTime) || got.Deleted() != want.Deleted() {
			rt.Fatalf("get %s: %+v, %v, want %+v", id, got, err, want)
		}
	}
	h, err := m.s.Head(rt.Context())
	if err != nil || h.Revision != m.events {
		rt.Fatalf("head: %+v, %v, want revision %d", h, err, m.events)
	}
}
