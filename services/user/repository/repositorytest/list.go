package repositorytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

func testList(t *testing.T, f Factory) {
	t.Run("orders and pages", func(t *testing.T) { testOrders(t, newEnv(t, f)) })
	t.Run("filters agree with Match", func(t *testing.T) { testFilters(t, newEnv(t, f)) })
	t.Run("wrong queries are told", func(t *testing.T) { testWrongQueries(t, newEnv(t, f)) })
	t.Run("paging neither skips nor repeats while others come and go", func(t *testing.T) { testKeysetProperty(t, newEnv(t, f)) })
	t.Run("watching from the revision misses nothing", func(t *testing.T) { testListThenWatch(t, newEnv(t, f), false) })
	t.Run("an exact revision is the snapshot's", func(t *testing.T) { testListThenWatch(t, newEnv(t, f), true) })
}

// populate creates users that collide in every order but the ID's.
func populate(t *testing.T, e *env) []repository.User {
	t.Helper()
	names := []string{"", "B", "a", "ä", "b", "B", "日本", "a b", "\uFFFD", "\U0001F600", "Z", "z"}
	for i, name := range names {
		u := user(fmt.Sprintf("user-%02d", (i*7)%len(names)))
		u.DisplayName = name
		u.Labels = map[string]string{"n": fmt.Sprint(i % 3), "only": fmt.Sprint(i)}
		if i%4 == 0 {
			u.Labels, u.EmailKey = nil, ""
		}
		if i%3 == 0 {
			e.clock.Advance(time.Microsecond)
		}
		if _, err := e.Create(t.Context(), u, repository.Write{}); err != nil {
			t.Fatal(err)
		}
		if i%5 == 1 {
			if _, err := e.SetState(t.Context(), u.ID, repository.StateSuspended, repository.Write{}); err != nil {
				t.Fatal(err)
			}
		}
		if i%5 == 2 {
			if _, err := e.Delete(t.Context(), u.ID, time.Hour, repository.Write{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	page, err := e.List(t.Context(), repository.Query{Limit: 100, ShowDeleted: true})
	if err != nil || len(page.Users) != len(names) || page.Next != nil {
		t.Fatalf("list all: %v, %v", page, err)
	}
	return page.Users
}

// all reads every page.
func all(ctx context.Context, t *testing.T, s repository.Store, q repository.Query) []repository.User {
	t.Helper()
	var users []repository.User
	for {
		page, err := s.List(ctx, q)
		if err != nil {
			t.Fatalf("list %+v: %v", q, err)
		}
		users = append(users, page.Users...)
		if page.Next == nil {
			return users
		}
		q.After = page.Next
	}
}

func ids(users []repository.User) []string {
	s := []string{}
	for i := range users {
		s = append(s, users[i].ID)
	}
	return s
}

func testOrders(t *testing.T, e *env) {
	everyone := populate(t, e)
	var orders [][]repository.Order
	fields := []repository.Field{repository.FieldID, repository.FieldDisplayName, repository.FieldEmailKey, repository.FieldCreateTime, repository.FieldUpdateTime}
	for _, a := range fields {
		for _, desc := range []bool{false, true} {
			orders = append(orders, []repository.Order{{Field: a, Desc: desc}})
			for _, b := range fields {
				if a != b {
					orders = append(orders, []repository.Order{{Field: a, Desc: desc}, {Field: b}}, []repository.Order{{Field: a, Desc: desc}, {Field: b, Desc: true}})
				}
			}
		}
	}
	orders = append(orders, nil)
	for _, order := range orders {
		for _, limit := range []int{1, 5, 12} {
			for _, deleted := range []bool{false, true} {
				want := sorted(everyone, order, deleted)
				got := all(t.Context(), t, e, repository.Query{Order: order, Limit: limit, ShowDeleted: deleted})
				diff(t, fmt.Sprintf("order %v, limit %d, deleted %v", order, limit, deleted), ids(got), ids(want))
			}
		}
	}
}

// sorted is what a list must return, computed in memory.
func sorted(users []repository.User, order []repository.Order, deleted bool) []repository.User {
	out := slices.Clone(users)
	if !deleted {
		out = slices.DeleteFunc(out, func(u repository.User) bool { return u.Deleted() })
	}
	desc := false
	if len(order) > 0 {
		desc = order[len(order)-1].Desc
	}
	order = append(slices.Clone(order), repository.Order{Field: repository.FieldID, Desc: desc})
	slices.SortFunc(out, func(a, b repository.User) int {
		for _, o := range order {
			if c := compare(o.Field, &a, &b); c != 0 {
				if o.Desc {
					return -c
				}
				return c
			}
		}
		return 0
	})
	return out
}

func compare(f repository.Field, a, b *repository.User) int {
	text := func(x, y string) int { return slices.Compare([]byte(x), []byte(y)) }
	switch f {
	case repository.FieldDisplayName:
		return text(a.DisplayName, b.DisplayName)
	case repository.FieldEmailKey:
		return text(a.EmailKey, b.EmailKey)
	case repository.FieldCreateTime:
		return a.CreateTime.Compare(b.CreateTime)
	case repository.FieldUpdateTime:
		return a.UpdateTime.Compare(b.UpdateTime)
	default:
		return text(a.ID, b.ID)
	}
}

func testFilters(t *testing.T, e *env) {
	everyone := populate(t, e)
	for _, f := range filters(everyone) {
		var want []repository.User
		for _, u := range everyone {
			if f.Match(&u) {
				want = append(want, u)
			}
		}
		got := all(t.Context(), t, e, repository.Query{Filter: f, Limit: 5, ShowDeleted: true})
		diff(t, fmt.Sprintf("filter %+v", f), ids(got), ids(want))
	}
}

// filters returns every comparison, alone and combined.
func filters(users []repository.User) []repository.Filter {
	var fs []repository.Filter
	add := func(f repository.Filter) { fs = append(fs, f, repository.Not{Filter: f}) }
	order := []repository.Op{repository.OpEqual, repository.OpNotEqual, repository.OpLess, repository.OpLessEqual, repository.OpGreater, repository.OpGreaterEqual}
	u := users[5]
	for _, f := range []repository.Field{repository.FieldID, repository.FieldUID, repository.FieldEmailKey, repository.FieldDisplayName, repository.FieldGivenName, repository.FieldFamilyName} {
		for _, op := range append(order, repository.OpPrefix, repository.OpContains, repository.OpHas) {
			for _, v := range []string{"", "a", "b", u.ID, "user-0", "\U0001F600", "x'\"%_"} {
				add(repository.Compare{Field: f, Op: op, Value: v})
			}
		}
	}
	for _, op := range append(order, repository.OpPrefix, repository.OpContains, repository.OpHas) {
		for _, key := range []string{"n", "only", "missing", `"`, ""} {
			add(repository.Compare{Field: repository.FieldLabel, Label: key, Op: op, Value: "1"})
		}
	}
	for _, f := range []repository.Field{repository.FieldCreateTime, repository.FieldUpdateTime, repository.FieldDeleteTime, repository.FieldPurgeTime} {
		for _, op := range append(order, repository.OpHas) {
			add(repository.Compare{Field: f, Op: op, Value: u.CreateTime})
			add(repository.Compare{Field: f, Op: op, Value: u.CreateTime.Add(time.Hour)})
		}
	}
	for _, s := range []repository.State{repository.StateActive, repository.StateSuspended} {
		add(repository.Compare{Field: repository.FieldState, Op: repository.OpEqual, Value: s})
		add(repository.Compare{Field: repository.FieldState, Op: repository.OpNotEqual, Value: s})
	}
	a := repository.Compare{Field: repository.FieldState, Op: repository.OpEqual, Value: repository.StateSuspended}
	b := repository.Compare{Field: repository.FieldLabel, Label: "n", Op: repository.OpEqual, Value: "1"}
	c := repository.Compare{Field: repository.FieldDisplayName, Op: repository.OpPrefix, Value: "B"}
	add(repository.And{a, b})
	add(repository.Or{a, repository.And{b, repository.Not{Filter: c}}})
	add(repository.And{})
	add(repository.Or{})
	return fs
}

func testWrongQueries(t *testing.T, e *env) {
	e.create("ann", "bob")
	for name, q := range map[string]repository.Query{
		"no limit":        {},
		"unknown order":   {Limit: 1, Order: []repository.Order{{Field: repository.FieldGivenName}}},
		"order twice":     {Limit: 1, Order: []repository.Order{{Field: repository.FieldCreateTime}, {Field: repository.FieldCreateTime, Desc: true}}},
		"foreign key":     {Limit: 1, After: []string{"a", "b"}},
		"key of no time":  {Limit: 1, Order: []repository.Order{{Field: repository.FieldCreateTime}}, After: []string{"x", "b"}},
		"unknown field":   {Limit: 1, Filter: repository.Compare{Field: "id; DROP TABLE users", Op: repository.OpEqual, Value: "x"}},
		"unknown op":      {Limit: 1, Filter: repository.Compare{Field: repository.FieldID, Op: "~", Value: "x"}},
		"wrong type":      {Limit: 1, Filter: repository.Compare{Field: repository.FieldID, Op: repository.OpEqual, Value: 7}},
		"nil in and":      {Limit: 1, Filter: repository.And{nil}},
		"order of states": {Limit: 1, Filter: repository.Compare{Field: repository.FieldState, Op: repository.OpLess, Value: repository.StateActive}},
	} {
		if _, err := e.List(t.Context(), q); !errors.Is(err, repository.ErrInvalid) {
			t.Errorf("%s: error is %v, want ErrInvalid", name, err)
		}
	}
}

// testKeysetProperty pages through users while others are created and deleted
// around them.
func testKeysetProperty(t *testing.T, e *env) {
	ctx := within(t)
	for i := range 60 {
		e.create(fmt.Sprintf("stay-%03d", i*2))
		e.clock.Advance(time.Microsecond)
	}
	other := e.another()
	var stop atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; !stop.Load(); i++ {
			id := fmt.Sprintf("stay-%03d-x%d", (i*37)%120, i)
			if _, err := other.Create(ctx, user(id), repository.Write{}); err != nil {
				t.Errorf("create: %v", err)
				return
			}
			if _, err := other.Delete(ctx, id, time.Hour, repository.Write{}); err != nil {
				t.Errorf("delete: %v", err)
				return
			}
		}
	})
	for _, order := range [][]repository.Order{nil, {{Field: repository.FieldID, Desc: true}}, {{Field: repository.FieldCreateTime}}, {{Field: repository.FieldDisplayName, Desc: true}}, {{Field: repository.FieldEmailKey}, {Field: repository.FieldCreateTime, Desc: true}}} {
		seen := map[string]int{}
		var survivors int
		for _, u := range all(ctx, t, e, repository.Query{Order: order, Limit: 7}) {
			seen[u.ID]++
			if seen[u.ID] > 1 {
				t.Errorf("order %v: %s repeated", order, u.ID)
			}
			if len(u.ID) == len("stay-000") {
				survivors++
			}
		}
		if survivors != 60 {
			t.Errorf("order %v: %d of 60 survivors", order, survivors)
		}
	}
	stop.Store(true)
	wg.Wait()
}

// testListThenWatch checks, while others write, that a page and the events
// after its revision make the present; with exact, that no event after it
// repeats what the page shows.
func testListThenWatch(t *testing.T, e *env, exact bool) {
	ctx := within(t)
	e.create("a", "b", "c", "d")
	other := e.another()
	var wg sync.WaitGroup
	var stop atomic.Bool
	for _, id := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				if _, err := other.Update(ctx, id, rename(fmt.Sprint("name ", i)), nil, repository.Write{}); err != nil {
					t.Errorf("update: %v", err)
					return
				}
			}
		})
	}
	type start struct {
		revision int64
		versions map[string]int64
	}
	var starts []start
	for range 20 {
		page, err := e.List(ctx, repository.Query{Limit: 10, Exact: exact})
		if err != nil {
			t.Fatal(err)
		}
		s := start{page.Revision, map[string]int64{}}
		for _, u := range page.Users {
			s.versions[u.ID] = u.Version
		}
		starts = append(starts, s)
	}
	stop.Store(true)
	wg.Wait()
	stream := events(t, e, 0)
	for _, s := range starts {
		for _, ev := range stream {
			if ev.Revision <= s.revision {
				continue
			}
			switch have := s.versions[ev.User.ID]; {
			case ev.User.Version == have+1:
				s.versions[ev.User.ID]++
			case ev.User.Version > have:
				t.Fatalf("after revision %d: %s jumps from version %d to %d", s.revision, ev.User.ID, have, ev.User.Version)
			case exact:
				t.Fatalf("after exact revision %d: version %d of %s comes after its version %d", s.revision, ev.User.Version, ev.User.ID, have)
			}
		}
	}
}
