package discoverytest

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/keelson-dev/keelson/discovery"
)

func testLifecycle(t *testing.T, h Harness) {
	d := h.Driver()
	f := follow(t, h, h.Driver(), "user")
	in := instance("user", "user-1", 1)
	if err := d.Check(bounded(t, h), in); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Fatalf("Check before registration: got %v, want ErrNotRegistered", err)
	}
	mustRegister(t, h, d, in)
	f.sees(0, in)
	if err := checkOnce(t, h, d, in); err != nil {
		t.Fatalf("Check of a registered instance: %v", err)
	}
	mark := f.mark()
	mustDeregister(t, h, d, in)
	f.sees(mark)
	if err := d.Check(bounded(t, h), in); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Fatalf("Check after deregistration: got %v, want ErrNotRegistered", err)
	}
	mustDeregister(t, h, d, in)
}

// checkOnce checks with a context that ends soon, as Check may block while all is well.
func checkOnce(t *testing.T, h Harness, d discovery.Driver, in discovery.Instance) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), min(h.Patience, discovery.DefaultAttemptTimeout))
	defer cancel()
	return d.Check(ctx, in)
}

func testLateWatch(t *testing.T, h Harness) {
	in := instance("user", "user-1", 1)
	mustRegister(t, h, h.Driver(), in)
	f := follow(t, h, h.Driver(), "user")
	first := f.until(0, "something", func(event) bool { return true })
	if first.err != nil {
		t.Fatalf("first event is an error: %v", first.err)
	}
	if d := diff([]discovery.Instance{in}, first.update.Instances); d != "" {
		t.Fatalf("first list (-want +got):\n%s", d)
	}
}

func testIdempotent(t *testing.T, h Harness) {
	d := h.Driver()
	a, b := instance("user", "user-1", 1), instance("user", "user-2", 2)
	mustRegister(t, h, d, a)
	f := follow(t, h, h.Driver(), "user")
	f.sees(0, a)
	mark := f.mark()
	mustRegister(t, h, d, a, a, a)
	mustRegister(t, h, h.Driver(), a)
	mustRegister(t, h, d, b) // what comes before b came of registering again
	f.sees(mark, a, b)
	events, _ := f.since(mark)
	for _, e := range events {
		if e.err != nil {
			t.Fatalf("Watch failed: %v", e.err)
		}
		if !same([]discovery.Instance{a}, e.update.Instances) && !same([]discovery.Instance{a, b}, e.update.Instances) {
			t.Fatalf("registering again was seen as a change: %s", describe(events))
		}
	}
}

func testUpdate(t *testing.T, h Harness) {
	d := h.Driver()
	in := instance("user", "user-1", 1)
	mustRegister(t, h, d, in)
	f := follow(t, h, h.Driver(), "user")
	f.sees(0, in)
	changed := in
	changed.Weight = 7
	changed.Version = "v1.2.4"
	changed.Meta = map[string]string{"build": "def"}
	if err := d.Check(bounded(t, h), changed); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Fatalf("Check of what is registered with other content: got %v, want ErrNotRegistered", err)
	}
	mustRegister(t, h, d, changed)
	f.sees(0, changed)
	if err := checkOnce(t, h, d, changed); err != nil {
		t.Fatalf("Check after the change: %v", err)
	}
}

func testServices(t *testing.T, h Harness) {
	d := h.Driver()
	user, audit := instance("user", "same-id", 1), instance("audit", "same-id", 2)
	longer := instance("user-v2.eu_1", "same-id", 3)
	mustRegister(t, h, d, user, audit, longer)
	for _, in := range []discovery.Instance{user, audit, longer} {
		follow(t, h, h.Driver(), in.Service).sees(0, in)
	}
	f := follow(t, h, h.Driver(), "audit")
	f.sees(0, audit)
	mustDeregister(t, h, d, user)
	more := instance("audit", "another", 4)
	mustRegister(t, h, d, more)
	f.sees(0, audit, more)
	f.neverEmpty(0)
}

func testTwoWatches(t *testing.T, h Harness) {
	d := h.Driver()
	a, b := instance("user", "user-1", 1), instance("user", "user-2", 2)
	mustRegister(t, h, d, a)
	shared := h.Driver()
	first, second := follow(t, h, shared, "user"), follow(t, h, shared, "user")
	first.sees(0, a)
	second.sees(0, a)
	first.stop()
	mustRegister(t, h, d, b)
	second.sees(0, a, b)
	third := follow(t, h, shared, "user")
	third.sees(0, a, b)
}

func testSlowReceiver(t *testing.T, h Harness) {
	d := h.Driver()
	first := instance("user", "user-0", 0)
	mustRegister(t, h, d, first)
	ctx, cancel := context.WithCancel(context.Background())
	started, release, last := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var want []discovery.Instance
	for i := range 20 {
		want = append(want, instance("user", "user-"+string(rune('a'+i)), 1+i))
	}
	want = append(want, first)
	var begin, end sync.Once
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Driver().Watch(ctx, discovery.Query{Service: "user"}, func(u discovery.Update) {
			begin.Do(func() { close(started); <-release })
			if same(want, u.Instances) {
				end.Do(func() { close(last) })
			}
		})
	}()
	t.Cleanup(func() { cancel(); await(t, h.Patience, done, "Watch to return") })
	await(t, h.Patience, started, "the first list")
	mustRegister(t, h, d, want[:20]...)
	close(release)
	await(t, h.Patience, last, "the latest state")
}

func testCancel(t *testing.T, h Harness) {
	in := instance("user", "user-1", 1)
	mustRegister(t, h, h.Driver(), in)
	for _, service := range []string{"user", "nobody"} {
		ctx, cancel := context.WithCancel(context.Background())
		delivered, done := make(chan struct{}, 64), make(chan struct{})
		var err error
		go func() {
			defer close(done)
			err = h.Driver().Watch(ctx, discovery.Query{Service: service}, func(discovery.Update) { delivered <- struct{}{} })
		}()
		if service == "user" {
			await(t, h.Patience, delivered, "the first list")
		}
		cancel()
		await(t, h.Patience, done, "Watch to return after cancellation")
		if service == "user" && !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v, want context.Canceled", err)
		}
	}
}

func testEndedContext(t *testing.T, h Harness) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	d, in := h.Driver(), instance("user", "user-1", 1)
	if err := d.Register(ctx, in); err == nil {
		t.Error("Register succeeded")
	}
	if err := d.Check(ctx, in); err == nil || errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check returned %v; it could not know", err)
	}
	if err := d.Deregister(ctx, in); err == nil {
		t.Error("Deregister succeeded")
	}
	err := d.Watch(ctx, discovery.Query{Service: "user"}, func(u discovery.Update) {
		if len(u.Instances) > 0 {
			t.Error("Watch delivered instances that nobody registered")
		}
	})
	if err == nil {
		t.Error("Watch returned nil")
	}
}

func testUnknownParameter(t *testing.T, h Harness) {
	const name = "no-such-parameter"
	ctx, d := bounded(t, h), h.Driver()
	unknown := discovery.Query{Service: "user", Params: url.Values{name: {"x"}}}
	if c, ok := d.(interface{ CheckQuery(discovery.Query) error }); ok {
		if err := c.CheckQuery(unknown); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("CheckQuery: %v, want an error that names %s", err, name)
		}
		if err := c.CheckQuery(discovery.Query{Service: "user"}); err != nil {
			t.Errorf("CheckQuery refuses a query without parameters: %v", err)
		}
	}
	err := d.Watch(ctx, unknown, func(discovery.Update) {
		t.Error("Watch delivered a list")
	})
	if err == nil || ctx.Err() != nil || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, want an error that names %s", err, name)
	}
}
