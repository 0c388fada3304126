package discoverytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/keelson-dev/keelson/discovery"
)

func testOddIDs(t *testing.T, h Harness) {
	ids := []string{
		"plain", "Plain", "PLAIN", "with space", " leading", "trailing ", ".", "..", "...", ".hidden", "a/b", "a\\b", "a%2Fb", "a%2fb",
		"../../escape", "/absolute", "a:b", "a?b=c&d", "a#b", "a*b", "quote\"'`", "<tag>", "na\u00efve", "nai\u0308ve", "日本語", "🚢", "con", "nul.json",
		"x.json", "x", "~", "-", "--flag", strings.Repeat("a", discovery.MaxID), strings.Repeat("a", discovery.MaxID-1) + "b",
		strings.Repeat("é", discovery.MaxID/2),
	}
	d := h.Driver()
	var all []discovery.Instance
	for i, id := range ids {
		in := instance("user", id, i)
		all = append(all, in)
		mustRegister(t, h, d, in)
	}
	f := follow(t, h, h.Driver(), "user")
	f.sees(0, all...)
	var wg sync.WaitGroup
	for _, in := range all { // at once, as each may block
		wg.Go(func() {
			if err := checkOnce(t, h, d, in); err != nil {
				t.Errorf("Check(%q): %v", in.ID, err)
			}
		})
	}
	wg.Wait()
	for i, in := range all {
		if i%2 == 0 {
			mustDeregister(t, h, d, in)
		}
	}
	var rest []discovery.Instance
	for i, in := range all {
		if i%2 == 1 {
			rest = append(rest, in)
		}
	}
	f.sees(0, rest...)
}

func testBadNames(t *testing.T, h Harness) {
	d := h.Driver()
	good := instance("user", "user-1", 1)
	mustRegister(t, h, d, good)
	for _, service := range []string{"", ".", "..", "../user", "a/b", "a\\b", "-a", ".a", "a b", "a\x00b", "ä", strings.Repeat("a", discovery.MaxServiceName+1)} {
		in := instance(service, "x", 2)
		if err := d.Register(bounded(t, h), in); err == nil {
			t.Errorf("Register accepted service %q", service)
		}
		if err := d.Deregister(bounded(t, h), in); err == nil {
			t.Errorf("Deregister accepted service %q", service)
		}
		ctx := bounded(t, h)
		err := d.Watch(ctx, discovery.Query{Service: service}, func(discovery.Update) { t.Errorf("Watch delivered for service %q", service) })
		if err == nil || ctx.Err() != nil {
			t.Fatalf("Watch of service %q: %v, want an error at once", service, err)
		}
	}
	for _, id := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("a", discovery.MaxID+1)} {
		if err := d.Register(bounded(t, h), instance("user", id, 3)); err == nil {
			t.Errorf("Register accepted ID %q", id)
		}
	}
	follow(t, h, h.Driver(), "user").sees(0, good)
}

func testBigList(t *testing.T, h Harness) {
	const n = 500
	all := make([]discovery.Instance, n)
	for i := range all {
		all[i] = instance("user", fmt.Sprintf("user-%03d", i), i)
	}
	d := h.Driver()
	f := follow(t, h, h.Driver(), "user")
	concurrently(t, all, func(in discovery.Instance) error { return d.Register(bounded(t, h), in) })
	f.sees(0, all...)
	concurrently(t, all[:n/2], func(in discovery.Instance) error { return d.Deregister(bounded(t, h), in) })
	f.sees(0, all[n/2:]...)
}

func concurrently(t *testing.T, list []discovery.Instance, do func(discovery.Instance) error) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for _, in := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := do(in); err != nil {
				t.Errorf("instance %q: %v", in.ID, err)
			}
		})
	}
	wg.Wait()
}

func testConcurrent(t *testing.T, h Harness) {
	d := h.Driver()
	stays := instance("user", "stays", 99)
	mustRegister(t, h, d, stays)
	f := follow(t, h, h.Driver(), "user")
	var wg sync.WaitGroup
	want := []discovery.Instance{stays}
	for i := range 8 {
		in := instance("user", fmt.Sprintf("user-%d", i), i)
		if i%2 == 0 {
			want = append(want, in)
		}
		wg.Go(func() {
			for range 10 {
				if err := d.Register(bounded(t, h), in); err != nil {
					t.Errorf("Register: %v", err)
				}
				if err := d.Deregister(bounded(t, h), in); err != nil {
					t.Errorf("Deregister: %v", err)
				}
			}
			if i%2 == 0 {
				if err := d.Register(bounded(t, h), in); err != nil {
					t.Errorf("Register: %v", err)
				}
			}
		})
	}
	wg.Wait()
	f.sees(0, want...)
	f.neverEmpty(0)
	follow(t, h, h.Driver(), "user").sees(0, want...)
}

func testOutage(t *testing.T, h Harness) {
	h.need(t, Outage)
	d := h.Driver()
	a, b := instance("user", "user-1", 1), instance("user", "user-2", 2)
	mustRegister(t, h, d, a, b)
	running := follow(t, h, h.Driver(), "user")
	running.sees(0, a, b)

	mark := running.mark()
	h.Stop()
	running.failed(mark)
	begun := follow(t, h, h.Driver(), "user")
	begun.failed(0)
	if err := d.Register(bounded(t, h), instance("user", "user-3", 3)); err == nil {
		t.Error("Register succeeded while the registry was away")
	}
	if err := d.Check(bounded(t, h), a); err == nil || errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check while the registry was away: got %v, want an error that is not ErrNotRegistered", err)
	}
	if err := d.Deregister(bounded(t, h), a); err == nil {
		t.Error("Deregister succeeded while the registry was away")
	}

	back, fresh := running.mark(), begun.mark()
	h.Start()
	running.sees(back, a, b)
	begun.sees(fresh, a, b)
	running.neverEmpty(mark)
	begun.neverEmpty(0)
}

// keep runs a registration until the test ends or its returned function is called.
func keep(t *testing.T, h Harness, in discovery.Instance) (stop func(), states <-chan discovery.State) {
	t.Helper()
	heard := make(chan discovery.State, 1024)
	r, err := discovery.NewRegistration(h.Driver(), in, discovery.RegistrationConfig{CheckInterval: repeat},
		discovery.WithOnState(func(s discovery.State, _ error) {
			select {
			case heard <- s:
			default:
			}
		}))
	if err != nil {
		t.Fatalf("NewRegistration: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	stop = func() { cancel(); await(t, h.Patience, done, "the registration to end") }
	t.Cleanup(stop)
	return stop, heard
}

func testOutageAtStart(t *testing.T, h Harness) {
	h.need(t, Outage)
	f := follow(t, h, h.Driver(), "user")
	mark := f.mark()
	h.Stop()
	f.failed(mark)
	in := instance("user", "user-1", 1)
	stop, states := keep(t, h, in)
	if s := <-states; s != discovery.StatePending {
		t.Fatalf("state while the registry is away: %s, want pending", s)
	}
	h.Start()
	f.sees(mark, in)
	mark = f.mark()
	stop()
	f.sees(mark)
}

func testWipe(t *testing.T, h Harness) {
	h.need(t, Wipe)
	kept, lost := instance("user", "kept", 1), instance("user", "lost", 2)
	f := follow(t, h, h.Driver(), "user")
	keep(t, h, kept)
	mustRegister(t, h, h.Driver(), lost)
	f.sees(0, kept, lost)
	mark := f.mark()
	h.Wipe()
	f.sees(mark, kept)
	if err := h.Driver().Check(bounded(t, h), lost); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check of what was wiped: got %v, want ErrNotRegistered", err)
	}
}

func testCorrupt(t *testing.T, h Harness) {
	h.need(t, Corrupt)
	a, b := instance("user", "user-1", 1), instance("user", "user-2", 2)
	d := h.Driver()
	mustRegister(t, h, d, a)
	f := follow(t, h, h.Driver(), "user")
	f.sees(0, a)
	h.Corrupt("user")
	mustRegister(t, h, d, b)
	e := f.until(0, "both instances beside an invalid entry", func(e event) bool {
		return e.update != nil && len(e.update.Invalid) > 0 && same([]discovery.Instance{a, b}, e.update.Instances)
	})
	if e.update.Invalid[0].Error() == "" {
		t.Error("the invalid entry has no message")
	}
	f.neverEmpty(0)
}
