package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keelson-dev/keelson/discovery"
)

// instance returns an instance that uses every field a registry must carry.
func instance(service, id string, n int) discovery.Instance {
	return discovery.Instance{
		Service: service, ID: id,
		Address:      fmt.Sprintf("127.0.0.1:%d", 10000+n),
		OpsAddress:   fmt.Sprintf("127.0.0.1:%d", 20000+n),
		DebugAddress: fmt.Sprintf("127.0.0.1:%d", 30000+n),
		Version:      "v1.2.3", Zone: "zone-a", Weight: 100,
		Meta: map[string]string{"build": "abc", "note": "Grüße, \"quoted\""},
	}
}

// sorted is a list as the tests compare it: what identifies a process is the registry's own business.
func sorted(list []discovery.Instance) []discovery.Instance {
	out := slices.Clone(list)
	slices.SortFunc(out, func(a, b discovery.Instance) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func diff(want, got []discovery.Instance) string {
	return cmp.Diff(sorted(want), sorted(got), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(discovery.Instance{}, "PID", "StartTime"))
}

// same is diff for lists that mostly differ in length, which it tells at once.
func same(want, got []discovery.Instance) bool {
	return len(want) == len(got) && diff(want, got) == ""
}

// event is what one Watch did: it delivered, or it returned.
type event struct {
	update *discovery.Update
	err    error
}

// follower runs Watch again and again, as the resolver does, and records what it does.
type follower struct {
	t        *testing.T
	patience time.Duration
	cancel   func()
	done     chan struct{}

	mu     sync.Mutex
	events []event
	news   chan struct{} // closed and replaced with each event
}

// repeat is the pause between two runs of Watch.
const repeat = 20 * time.Millisecond

func follow(t *testing.T, h Harness, d discovery.Driver, service string) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follower{t: t, patience: h.Patience, cancel: cancel, done: make(chan struct{}), news: make(chan struct{})}
	go f.run(ctx, d, service)
	t.Cleanup(f.stop)
	return f
}

func (f *follower) run(ctx context.Context, d discovery.Driver, service string) {
	defer close(f.done)
	for {
		returned, given := false, false
		err := d.Watch(ctx, discovery.Query{Service: service}, func(u discovery.Update) {
			if returned {
				f.t.Error("deliver was called after Watch had returned")
			}
			if u.Unchanged {
				if !given {
					f.t.Error("the first update of a Watch said that nothing has changed")
				}
				return
			}
			given = true
			f.add(event{update: &u})
		})
		returned = true
		if err == nil {
			f.t.Error("Watch returned nil; it must return an error")
		}
		if ctx.Err() != nil {
			return
		}
		f.add(event{err: err})
		timer := time.NewTimer(repeat)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// stop ends following; Watch must return promptly.
func (f *follower) stop() {
	f.t.Helper()
	f.cancel()
	await(f.t, f.patience, f.done, "Watch to return after its context had ended")
}

func await(t *testing.T, patience time.Duration, done <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("waited %s for %s", patience, what)
	}
}

func (f *follower) add(e event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	close(f.news)
	f.news = make(chan struct{})
}

// mark returns a position in what was recorded.
func (f *follower) mark() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.events)
}

func (f *follower) since(mark int) ([]event, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events[mark:]), f.news
}

// until waits for an event after the mark that fits.
func (f *follower) until(mark int, what string, fits func(event) bool) event {
	f.t.Helper()
	timer := time.NewTimer(f.patience)
	defer timer.Stop()
	looked := 0
	for {
		events, news := f.since(mark)
		for _, e := range events[looked:] {
			if fits(e) {
				return e
			}
		}
		looked = len(events)
		select {
		case <-news:
		case <-timer.C:
			f.t.Fatalf("waited %s for %s; recorded: %s", f.patience, what, describe(events))
		}
	}
}

// sees waits for exactly this list.
func (f *follower) sees(mark int, want ...discovery.Instance) {
	f.t.Helper()
	f.until(mark, fmt.Sprintf("a list of %d instances", len(want)), func(e event) bool {
		return e.update != nil && same(want, e.update.Instances)
	})
}

// failed waits for Watch to return an error.
func (f *follower) failed(mark int) {
	f.t.Helper()
	f.until(mark, "an error from Watch", func(e event) bool { return e.err != nil && !errors.Is(e.err, context.Canceled) })
}

// neverEmpty fails the test when an empty list was delivered after the mark.
func (f *follower) neverEmpty(mark int) {
	f.t.Helper()
	events, _ := f.since(mark)
	for _, e := range events {
		if e.update != nil && len(e.update.Instances) == 0 {
			f.t.Fatalf("an empty list was delivered; recorded: %s", describe(events))
		}
	}
}

func describe(events []event) string {
	var b strings.Builder
	for i, e := range events {
		if e.err != nil {
			fmt.Fprintf(&b, "\n%3d error: %v", i, e.err)
			continue
		}
		fmt.Fprintf(&b, "\n%3d %d instances, %d invalid", i, len(e.update.Instances), len(e.update.Invalid))
		if len(e.update.Instances) <= 3 {
			fmt.Fprintf(&b, ": %+v", e.update.Instances)
		}
	}
	return b.String()
}

// bounded gives an attempt as much time as the harness has patience.
func bounded(t *testing.T, h Harness) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), h.Patience)
	t.Cleanup(cancel)
	return ctx
}

func mustRegister(t *testing.T, h Harness, d discovery.Driver, list ...discovery.Instance) {
	t.Helper()
	for _, in := range list {
		if err := d.Register(bounded(t, h), in); err != nil {
			t.Fatalf("Register(%q): %v", in.ID, err)
		}
	}
}

func mustDeregister(t *testing.T, h Harness, d discovery.Driver, list ...discovery.Instance) {
	t.Helper()
	for _, in := range list {
		if err := d.Deregister(bounded(t, h), in); err != nil {
			t.Fatalf("Deregister(%q): %v", in.ID, err)
		}
	}
}
