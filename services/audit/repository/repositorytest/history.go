package repositorytest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/audit/repository"
)

// testList compares pages with what a plain filter makes of the history.
func testList(t *testing.T, e *env) {
	l := e.acquire(e, "a")
	base := e.clock.now()
	var changes []repository.Change
	for i := range 60 {
		c := change([]string{"ada", "bob", "eve"}[i%3], i)
		c.ChangeTime = base.Add(time.Duration(i*7%60) * time.Minute) // positions are not in the order of time
		changes = append(changes, c)
	}
	e.append(&l, batch(l, changes...))
	all := history(t, e)
	for _, q := range []repository.Query{
		{},
		{Desc: true},
		{UserID: "bob"},
		{UserID: "bob", Desc: true},
		{UserID: "nobody"},
		{From: base.Add(10 * time.Minute)},
		{To: base.Add(10 * time.Minute)},
		{From: base.Add(10 * time.Minute), To: base.Add(30 * time.Minute)},
		{From: base.Add(10 * time.Minute), To: base.Add(30 * time.Minute), UserID: "eve", Desc: true},
		{From: base.Add(24 * time.Hour)},
	} {
		var want []repository.Change
		for _, c := range all {
			if (q.UserID == "" || c.UserID == q.UserID) && (q.From.IsZero() || !c.ChangeTime.Before(q.From)) && (q.To.IsZero() || c.ChangeTime.Before(q.To)) {
				want = append(want, c)
			}
		}
		if q.Desc {
			slices.Reverse(want)
		}
		for _, limit := range []int{1, 4, 100} {
			t.Run(fmt.Sprintf("%+v by %d", q, limit), func(t *testing.T) {
				q := q
				q.Limit = limit
				var got []repository.Change
				for {
					page, err := e.List(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					if len(page) == 0 {
						break
					}
					got = append(got, page...)
					q.After = page[len(page)-1].Position
				}
				diff(t, "the pages together", got, want)
			})
		}
	}
}

func testConsumers(t *testing.T, e *env) {
	other := e.another()
	l := e.acquire(e, "a")
	e.append(&l, batch(l, change("ada", 1), change("ada", 2), change("ada", 3)))
	_, err := e.Open(t.Context(), "mail", 4)
	wantError(t, "a new consumer after the end of the history", err, repository.ErrAhead)
	open := func(s repository.Store, name string, after int64) repository.Consumer {
		t.Helper()
		c, err := s.Open(t.Context(), name, after)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := open(e, "mail", 3)
	diff(t, "a new consumer", first, repository.Consumer{Name: "mail", Session: 1, Position: 3})
	diff(t, "another one", open(e, "push", 0), repository.Consumer{Name: "push", Session: 1})
	for _, position := range []int64{7, 5} { // the second would go back
		first.Position = position
		if err := e.Acknowledge(t.Context(), first); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Check(t.Context(), first); err != nil {
		t.Errorf("check: %v", err)
	}

	second := open(other, "mail", 1_000_000) // wherever it is told to begin
	diff(t, "the consumer at another instance", second, repository.Consumer{Name: "mail", Session: 2, Position: 7})
	wantError(t, "check after that", e.Check(t.Context(), first), repository.ErrTakenOver)
	first.Position = 9
	wantError(t, "acknowledge after that", e.Acknowledge(t.Context(), first), repository.ErrTakenOver)
	wantError(t, "check nobody", e.Check(t.Context(), repository.Consumer{Name: "nobody", Session: 1}), repository.ErrTakenOver)
	if third := open(e, "mail", 0); third.Position != 7 {
		t.Errorf("the consumer is at %d after acknowledgements that do not count; want 7", third.Position)
	}
}
