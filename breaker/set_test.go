package breaker_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/call"
)

func TestMetricsAndLogTellOfEachTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		var log bytes.Buffer
		c := newClient(t, breaker.Config{}, breaker.WithRegisterer(reg), breaker.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
		c.calls(20, errDown) // open
		c.calls(5, nil)      // refused
		c.wait(get)
		c.calls(1, errDown) // half-open, open
		c.wait(get)
		c.calls(3, nil) // half-open, closed
		want := `
# HELP keelson_breaker_rejections_total Calls that a breaker did not let through.
# TYPE keelson_breaker_rejections_total counter
keelson_breaker_rejections_total{method="/shop.v1.Shop/Get",target="file:///shop"} 5
# HELP keelson_breaker_state The state of a client's breaker: 0 closed, 1 half-open, 2 open.
# TYPE keelson_breaker_state gauge
keelson_breaker_state{method="/shop.v1.Shop/Get",target="file:///shop"} 0
# HELP keelson_breaker_transitions_total Changes of a breaker's state, by the state that it came into: closed, half_open or open.
# TYPE keelson_breaker_transitions_total counter
keelson_breaker_transitions_total{method="/shop.v1.Shop/Get",target="file:///shop",to="closed"} 1
keelson_breaker_transitions_total{method="/shop.v1.Shop/Get",target="file:///shop",to="half_open"} 2
keelson_breaker_transitions_total{method="/shop.v1.Shop/Get",target="file:///shop",to="open"} 2
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		var got []string
		for line := range bytes.Lines(log.Bytes()) {
			var m map[string]any
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			if m["target"] != shop || m["method"] != get {
				t.Errorf("a line without target and method: %s", line)
			}
			if m["state"] == "open" && (m["calls"] != 20.0 || m["failures"] != 20.0 || m["for"] == 0.0) {
				t.Errorf("a line without its cause: %s", line)
			}
			got = append(got, m["level"].(string)+" "+m["msg"].(string))
		}
		if diff := cmp.Diff([]string{"WARN breaker opened", "INFO breaker lets probes through", "WARN breaker opened", "INFO breaker lets probes through", "INFO breaker closed"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// A logger that asks the breaker must not wait for the breaker.
func TestTheLogIsWrittenOutsideOfTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *client
		asking := writer(func() { c.call(nil); c.set.Snapshot() })
		c = newClient(t, breaker.Config{}, breaker.WithLogger(slog.New(slog.NewTextHandler(asking, nil))))
		c.calls(20, errDown)
		c.wait(get)
		c.calls(3, nil)
		c.expect(get, breaker.Closed)
	})
}

type writer func()

func (w writer) Write(p []byte) (int, error) { w(); return len(p), nil }

func TestTheSnapshotShowsAllBreakersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		begin := time.Now()
		c.calls(20, errDown)
		c.streams(5, true, true, 0, nil)
		c.set.For("dns:///other", c.table.Lookup(get))
		open := c.set.Snapshot()[2]
		want := []breaker.Snapshot{
			{Target: "dns:///other", Method: get, State: "closed", Since: begin},
			{Target: shop, Method: follow, State: "closed", Since: begin, Calls: 5},
			{Target: shop, Method: get, State: "open", Since: begin, Calls: 20, Failures: 20, NextProbe: open.NextProbe},
		}
		if diff := cmp.Diff(want, c.set.Snapshot()); diff != "" {
			t.Error(diff)
		}
		time.Sleep(time.Minute)
		if got := c.set.Snapshot()[1].Calls; got != 0 {
			t.Errorf("%d calls in the window of a minute ago", got)
		}
		if text, err := json.Marshal(want[0]); err != nil || strings.Contains(string(text), "next_probe") {
			t.Errorf("%s, %v", text, err)
		}
	})
}

func TestATargetIsForgotten(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newClient(t, breaker.Config{}, breaker.WithRegisterer(reg))
	held := c.set.For("dns:///gone", c.table.Lookup(get))
	c.call(nil)
	c.set.Forget("dns:///gone")
	if s := c.set.Snapshot(); len(s) != 1 || s[0].Target != shop {
		t.Errorf("snapshot %+v", s)
	}
	if n := testutil.CollectAndCount(reg, "keelson_breaker_state"); n != 1 {
		t.Errorf("%d series", n)
	}
	if held.State() != breaker.Closed || held.Name() != "dns:///gone "+get {
		t.Errorf("the breaker that a call holds is %s %s", held.Name(), held.State())
	}
	if c.set.For("dns:///gone", c.table.Lookup(get)) == held {
		t.Error("a forgotten breaker comes back")
	}
}

func TestSetsShareARegisterer(t *testing.T) {
	reg := prometheus.NewRegistry()
	for range 2 {
		newClient(t, breaker.Config{}, breaker.WithRegisterer(reg)).calls(21, errDown)
	}
	want := "# HELP keelson_breaker_rejections_total Calls that a breaker did not let through.\n# TYPE keelson_breaker_rejections_total counter\n" +
		`keelson_breaker_rejections_total{method="/shop.v1.Shop/Get",target="file:///shop"} 2` + "\n"
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "keelson_breaker_rejections_total"); err != nil {
		t.Error(err)
	}
}

// Two clients of one process may call the same target.
func TestASetThatForgetsATargetTakesNothingFromAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		stays, goes := newClient(t, breaker.Config{}, breaker.WithRegisterer(reg)), newClient(t, breaker.Config{}, breaker.WithRegisterer(reg))
		stays.call(nil)
		gone := goes.breaker(get)
		goes.set.Forget(shop)
		stays.calls(20, errDown)
		want := "# HELP keelson_breaker_state The state of a client's breaker: 0 closed, 1 half-open, 2 open.\n# TYPE keelson_breaker_state gauge\n" +
			`keelson_breaker_state{method="/shop.v1.Shop/Get",target="file:///shop"} 2` + "\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "keelson_breaker_state"); err != nil {
			t.Error(err)
		}
		stays.set.Forget(shop)
		for range 20 { // calls that were under way
			p := &breaker.Pass{}
			if err := gone.Begin(&call.Call{Context: t.Context(), Method: goes.table.Lookup(get), Start: time.Now()}, p); err == nil {
				p.End(errDown)
			}
		}
		if n := testutil.CollectAndCount(reg); n != 0 || gone.State() != breaker.Open {
			t.Errorf("%d series of a target that all have forgotten; the breaker is %s", n, gone.State())
		}
	})
}

func TestAConfigurationThatMakesNoSenseIsRejectedAtOnce(t *testing.T) {
	_, err := breaker.New(breaker.Config{Window: -1, MinCalls: -1, MinFailures: -1, FailureRatio: 1.5, OpenTime: -1, MaxOpenTime: -1, Probes: -1, ProbeWait: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"window", "min_calls", "min_failures", "failure_ratio", "open_time", "max_open_time", "probes", "probe_wait"} {
		if !strings.Contains(err.Error(), field+" is ") {
			t.Errorf("does not name %s: %v", field, err)
		}
	}
	if _, err := breaker.New(breaker.Config{OpenTime: 2 * time.Second, MaxOpenTime: time.Second}); err == nil {
		t.Error("an open time above its own maximum")
	}
	if _, err := breaker.New(breaker.Config{OpenTime: time.Minute}); err != nil {
		t.Errorf("an open time above the default maximum: %v", err)
	}
}
