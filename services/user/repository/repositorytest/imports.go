package repositorytest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testImport(t *testing.T, f Factory) {
	t.Run("items are stored, refused and replayed one by one", func(t *testing.T) { testImportItems(t, newEnv(t, f)) })
	t.Run("within a batch the earlier item wins", func(t *testing.T) { testImportClashes(t, newEnv(t, f)) })
	t.Run("a batch that makes no sense is refused", func(t *testing.T) {
		e := newEnv(t, f)
		for name, b := range map[string]repository.ImportBatch{
			"no ID":          {Items: batch("u", 1, 1)},
			"sequence twice": {ID: "i", Items: append(batch("u", 1, 1), batch("v", 1, 1)...)},
		} {
			if _, err := e.Import(t.Context(), b); !errors.Is(err, repository.ErrInvalid) {
				t.Errorf("%s: error is %v, want ErrInvalid", name, err)
			}
		}
		if r, err := e.Import(t.Context(), repository.ImportBatch{ID: "i"}); err != nil || len(r) != 0 {
			t.Errorf("empty batch: %v, %v", r, err)
		}
	})
	t.Run("the same import on several handles at once makes no duplicates", func(t *testing.T) { testImportAtOnce(t, newEnv(t, f)) })
	t.Run("a sequence does not serve two items", func(t *testing.T) {
		e := newEnv(t, f)
		b := repository.ImportBatch{ID: "i", Items: batch("u", 1, 2)}
		b.Items[0].Hash, b.Items[1].Hash = []byte("one"), []byte("two")
		if _, err := e.Import(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		b.Items[1].Hash = []byte("other")
		r, err := e.another().Import(t.Context(), b)
		if err != nil || !r[0].Replayed || !errors.Is(r[1].Err, repository.ErrSequenceReused) {
			t.Fatalf("%+v, %v, want ErrSequenceReused for the second", r, err)
		}
	})
	t.Run("items are forgotten after a day", func(t *testing.T) {
		e := newEnv(t, f)
		b := repository.ImportBatch{ID: "i", Items: batch("u", 1, 2)}
		for _, want := range []bool{false, true} {
			if r, err := e.Import(t.Context(), b); err != nil || r[0].Replayed != want || r[0].Err != nil {
				t.Fatalf("%+v, %v, want Replayed %v", r, err, want)
			}
		}
		e.clock.Advance(repository.RequestTTL)
		if r, err := e.Import(t.Context(), b); err != nil || !errors.Is(r[0].Err, repository.ErrExists) {
			t.Fatalf("after a day: %+v, %v", r, err)
		}
	})
}

// batch returns n items from the sequence on.
func batch(prefix string, from int64, n int) []repository.ImportItem {
	var items []repository.ImportItem
	for i := range int64(n) {
		items = append(items, repository.ImportItem{Sequence: from + i, User: user(fmt.Sprintf("%s-%d", prefix, from+i))})
	}
	return items
}

func testImportItems(t *testing.T, e *env) {
	e.create("ann", "bob")
	if _, err := e.Delete(t.Context(), "bob", time.Hour, repository.Write{}); err != nil {
		t.Fatal(err)
	}
	items := batch("new", 1, 5)
	items[1].User = user("ann")                   // exists
	items[2].User.EmailKey = "ann@example.com"    // e-mail taken
	items[3].User = user("bob")                   // exists, deleted
	items[4].User.DisplayName = "not UTF-8: \xff" // invalid
	items = append(items, batch("new", 6, 2)...)
	items[6].User.EmailKey = "bob@example.com" // free: its holder is deleted
	check := func(what string, s repository.Store, replayed bool) {
		t.Helper()
		got, err := s.Import(t.Context(), repository.ImportBatch{Scope: "c", ID: "i", Items: items})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		wantErr := []error{nil, repository.ErrExists, repository.ErrExists, repository.ErrExists, repository.ErrInvalid, nil, nil}
		for i, r := range got {
			if r.Sequence != items[i].Sequence || !errors.Is(r.Err, wantErr[i]) || r.Replayed != (replayed && wantErr[i] == nil) {
				t.Errorf("%s: item %d: %+v, want error %v", what, i, r, wantErr[i])
			}
			if r.Err != nil {
				continue
			}
			if u, err := s.Get(t.Context(), r.ID); err != nil || u.UID != r.UID || u.Version != 1 {
				t.Errorf("%s: item %d: stored %+v, %v, answered %+v", what, i, u, err, r)
			}
		}
		var id, email, deleted *repository.ExistsError
		if !errors.As(got[1].Err, &id) || !errors.As(got[2].Err, &email) || !errors.As(got[3].Err, &deleted) {
			t.Fatalf("%s: %+v", what, got)
		}
		diff(t, what+": taken ID", *id, repository.ExistsError{Field: repository.ConflictID, Value: "ann"})
		diff(t, what+": taken e-mail", *email, repository.ExistsError{Field: repository.ConflictEmail, Value: "ann@example.com"})
		diff(t, what+": deleted", *deleted, repository.ExistsError{Field: repository.ConflictID, Value: "bob", Deleted: true})
	}
	check("first", e.Store, false)
	n := len(events(t, e, 0))
	if n != 3+3 {
		t.Errorf("%d events, want one for each stored user", n)
	}
	check("again on another handle", e.another(), true)
	if again := len(events(t, e, 0)); again != n {
		t.Errorf("a replay wrote %d events", again-n)
	}
}

func testImportClashes(t *testing.T, e *env) {
	e.create("ann")
	items := batch("z", 1, 4)
	items[1].User = user("z-1")          // the ID of item 1
	items[2].User = user("a-same-email") // the e-mail of item 1, but sorts before it
	items[2].User.EmailKey = items[0].User.EmailKey
	items[3].User = user("ok")
	first := batch("y", 10, 2)
	first[0].User.EmailKey = "ann@example.com" // refused, so that the next may have its ID
	first[1].User = user(first[0].User.ID)
	got, err := e.Import(t.Context(), repository.ImportBatch{ID: "i", Items: append(items, first...)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, repository.ErrExists, repository.ErrExists, nil, repository.ErrExists, nil} {
		if !errors.Is(got[i].Err, want) {
			t.Errorf("item %d: %+v, want %v", i, got[i], want)
		}
	}
}

func testImportAtOnce(t *testing.T, e *env) {
	ctx := within(t)
	handles := []repository.Store{e.Store, e.another(), e.another()}
	const batches, size = 10, 20
	uids := make([]map[int64]string, len(handles))
	parallel(len(handles), func(h int) {
		uids[h] = map[int64]string{}
		for b := range batches {
			from := int64(b*size/2 + 1) // half of each batch is in the one before
			got, err := handles[h].Import(ctx, repository.ImportBatch{ID: "i", Items: batch("u", from, size)})
			if err != nil {
				t.Errorf("handle %d: %v", h, err)
				return
			}
			for _, r := range got {
				if r.Err != nil {
					t.Errorf("handle %d: item %d: %v", h, r.Sequence, r.Err)
				}
				uids[h][r.Sequence] = r.UID
			}
		}
	})
	diff(t, "UIDs of two handles", uids[1], uids[0])
	diff(t, "UIDs of two handles", uids[2], uids[0])
	if n := len(events(t, e, 0)); n != len(uids[0]) {
		t.Errorf("%d events for %d users", n, len(uids[0]))
	}
}
