package repositorytest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

func testLease(t *testing.T, e *env) {
	other := e.another()
	first := e.acquire(e, "a")
	_, err := other.Acquire(t.Context(), "b", lease)
	wantError(t, "a second recorder", err, repository.ErrHeld)

	e.clock.advance(lease - time.Millisecond)
	if err := e.Renew(t.Context(), first.Fence, lease); err != nil {
		t.Fatalf("renew: %v", err)
	}
	e.clock.advance(lease - time.Millisecond)
	_, err = other.Acquire(t.Context(), "b", lease)
	wantError(t, "a second recorder while the first renews", err, repository.ErrHeld)

	e.clock.advance(time.Millisecond)
	second := e.acquire(other, "b")
	if second.Fence <= first.Fence {
		t.Errorf("the fence %d of the second lease is not above the first's %d", second.Fence, first.Fence)
	}
	wantError(t, "renew a lease that was lost", e.Renew(t.Context(), first.Fence, lease), repository.ErrFenced)
	if err := e.Release(t.Context(), first.Fence); err != nil {
		t.Fatalf("release a lease that was lost: %v", err)
	}
	_, err = e.Acquire(t.Context(), "a", lease)
	wantError(t, "acquire after releasing what was lost", err, repository.ErrHeld)

	if err := other.Release(t.Context(), second.Fence); err != nil {
		t.Fatal(err)
	}
	third := e.acquire(e, "a") // at once
	if again := e.acquire(e, "a"); again.Fence <= third.Fence {
		t.Errorf("the owner's new lease has the fence %d; want more than %d", again.Fence, third.Fence)
	}
	wantError(t, "renew a lease that the owner replaced", e.Renew(t.Context(), third.Fence, lease), repository.ErrFenced)

	e.clock.advance(-lease / 2)
	_, err = other.Acquire(t.Context(), "b", lease)
	wantError(t, "a second recorder after the clock went back a little", err, repository.ErrHeld)
	e.clock.advance(-time.Hour)
	e.acquire(other, "b") // not in an hour
}

func testAppend(t *testing.T, e *env) {
	if head, err := e.Head(t.Context()); head != 0 || err != nil {
		t.Fatalf("the head of no history is %d, %v", head, err)
	}
	l := e.acquire(e, "a")
	diff(t, "the state of no history", l.State, repository.State{})

	changed := time.Date(2026, 2, 3, 4, 5, 6, 789012000, time.UTC)
	seen := repository.Change{
		Kind: repository.KindCreated, UserID: "ada", UserUID: "uid-ada", UserETag: `"1"`, ChangeTime: changed, Inferred: true,
		Fields: repository.FieldDisplayName | repository.FieldEmail | repository.FieldFamilyName | repository.FieldGivenName | repository.FieldLabels,
	}
	b := batch(l, repository.Change{Kind: repository.KindGap}, seen)
	b.Syncing, b.Generation, b.Cursor = true, 1, ""
	e.append(&l, b)
	diff(t, "the state after a batch", l.State, repository.State{Step: 1, Position: 2, Syncing: true, Generation: 1})

	e.clock.advance(time.Hour)
	e.append(&l, repository.Batch{Fence: l.Fence, From: l.State, Cursor: "c2", Generation: 1}) // nothing but the cursor
	e.append(&l, batch(l, change("bob", 1)))
	diff(t, "the state that a recorder begins with", e.acquire(e, "a").State, l.State)

	now := e.clock.now()
	then := now.Add(-time.Hour)
	seen.Position, seen.RecordTime = 2, then
	last := change("bob", 1)
	last.Position, last.ChangeTime, last.RecordTime = 3, now, now
	want := []repository.Change{{Position: 1, Kind: repository.KindGap, ChangeTime: then, RecordTime: then}, seen, last}
	diff(t, "the history", history(t, e), want)
	for _, w := range want {
		got, err := e.another().Get(t.Context(), w.Position)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "one change", got, w)
	}
	_, err := e.Get(t.Context(), 4)
	wantError(t, "a change that is not there", err, repository.ErrNotFound)
	if head, err := e.Head(t.Context()); head != 3 || err != nil {
		t.Errorf("the head is %d, %v; want 3", head, err)
	}
}

// testFencing is about recorders that go on although they should not.
func testFencing(t *testing.T, e *env) {
	stopped := e.acquire(e, "stopped")
	late := batch(stopped, change("ada", 1))
	late.Known = []repository.Subject{{UID: "uid-ada", ID: "ada", ETag: "late"}}
	e.clock.advance(lease)
	next := e.acquire(e, "next")

	_, err := e.Append(t.Context(), late, lease)
	wantError(t, "append under a lost lease, before the next one appended", err, repository.ErrFenced)
	e.append(&next, batch(next, change("ada", 1), change("ada", 2)))
	_, err = e.Append(t.Context(), late, lease)
	wantError(t, "append under a lost lease, after it", err, repository.ErrFenced)

	again := batch(next, change("ada", 3))
	e.append(&next, again)
	_, err = e.Append(t.Context(), again, lease)
	wantError(t, "append the same batch again", err, repository.ErrFenced)
	ahead := batch(next, change("ada", 4))
	ahead.From.Position++
	_, err = e.Append(t.Context(), ahead, lease)
	wantError(t, "append from another position", err, repository.ErrFenced)

	var etags []string
	for _, c := range history(t, e) {
		etags = append(etags, c.UserETag)
	}
	diff(t, "the history", etags, []string{`"ada-1"`, `"ada-2"`, `"ada-3"`})
	if known, err := e.Subjects(t.Context(), []string{"uid-ada"}); err != nil || len(known) != 0 {
		t.Errorf("a fenced append left %v, %v", known, err)
	}
}

func testRepeat(t *testing.T, e *env) {
	l := e.acquire(e, "a")
	e.append(&l, batch(l, change("ada", 1)))
	b := batch(l, change("ada", 2), change("ada", 1))
	b.Known = []repository.Subject{{UID: "uid-ada"}}
	_, err := e.Append(t.Context(), b, lease)
	wantError(t, "append a change that is there", err, repository.ErrRepeated)
	if n := len(history(t, e)); n != 1 {
		t.Errorf("the refused batch left %d changes; want the 1 before", n)
	}
	purged := change("ada", 1)
	purged.Kind = repository.KindPurged
	e.append(&l, batch(l, purged)) // the last etag comes once more
	b = batch(l, change("ada", 1))
	b.Generation++
	e.append(&l, b) // as it does when the user service's data were put back
}

func testSubjects(t *testing.T, e *env) {
	l := e.acquire(e, "a")
	ada := repository.Subject{UID: "1", ID: "ada", ETag: "e1", Suspended: true, Digest: []byte{0, 1}}
	bob := repository.Subject{UID: "2", ID: "bob", ETag: "e2", Deleted: true, Digest: []byte{3}}
	eve := repository.Subject{UID: "3", ID: "eve", ETag: "e3", Digest: []byte{2}}
	b := batch(l)
	b.Known = []repository.Subject{ada, bob, eve}
	e.append(&l, b)
	known, err := e.Subjects(t.Context(), []string{"1", "2", "9"})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "what is known", known, map[string]repository.Subject{"1": ada, "2": bob})
	if none, err := e.Subjects(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("of nobody it knows %v, %v", none, err)
	}

	ada.ETag, ada.Suspended = "e4", false
	b = batch(l)
	b.Known, b.Gone, b.Generation = []repository.Subject{ada}, []string{"3", "8"}, 2
	e.append(&l, b)
	unseen, err := e.Unseen(t.Context(), 2, 10)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "who was not seen", unseen, []repository.Subject{bob})
	all, err := e.Unseen(t.Context(), 3, 10)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "who is left", all, []repository.Subject{ada, bob})
	if few, err := e.Unseen(t.Context(), 3, 1); err != nil || len(few) != 1 {
		t.Errorf("at most one: %v, %v", few, err)
	}
}

// testRecorders lets several recorders fight for the lease while a reader reads
// along: the history has each of their changes once, and no reader sees a hole.
func testRecorders(t *testing.T, e *env) {
	const recorders, perRecorder = 3, 40
	done, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for f := range recorders {
		s := e.another()
		wg.Go(func() {
			for n := 1; n <= perRecorder; n++ {
				appendOnce(t, s, fmt.Sprintf("f%d", f), change(fmt.Sprintf("f%d", f), n))
			}
		})
	}
	reader := e.another()
	var read sync.WaitGroup
	read.Go(func() {
		after := int64(0)
		for ended := false; ; {
			page, err := reader.List(t.Context(), repository.Query{After: after, Limit: math.MaxInt32})
			if err != nil {
				t.Errorf("read along: %v", err)
				return
			}
			for _, c := range page {
				if after++; c.Position != after {
					t.Errorf("position %d comes after %d", c.Position, after-1)
					return
				}
			}
			if ended {
				return
			}
			ended = done.Err() != nil
		}
	})
	wg.Wait()
	stop()
	read.Wait()
	last := map[string]string{}
	for _, c := range history(t, e) {
		var version int
		if _, err := fmt.Sscanf(c.UserETag, `"`+c.UserID+`-%d"`, &version); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf(`"%s-%d"`, c.UserID, version-1); version > 1 && last[c.UserID] != want {
			t.Errorf("%s comes after %s", c.UserETag, last[c.UserID])
		}
		last[c.UserID] = c.UserETag
	}
	if n := len(history(t, e)); n != recorders*perRecorder {
		t.Errorf("the history has %d changes; want %d", n, recorders*perRecorder)
	}
}

// appendOnce appends as a recorder would that is disturbed all the time: all
// leases are released by whoever comes.
func appendOnce(t *testing.T, s repository.Store, owner string, c repository.Change) {
	for t.Context().Err() == nil {
		l, err := s.Acquire(t.Context(), owner, lease)
		if errors.Is(err, repository.ErrHeld) || errors.Is(err, repository.ErrUnavailable) {
			continue
		}
		if err == nil {
			_, err = s.Append(t.Context(), batch(l, c), lease)
		}
		if err == nil {
			err = s.Release(t.Context(), l.Fence)
			if err == nil {
				return
			}
		}
		if !errors.Is(err, repository.ErrFenced) {
			t.Errorf("append %s: %v", c.UserETag, err)
			return
		}
	}
}
