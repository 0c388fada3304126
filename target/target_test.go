package target_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/target"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func full() target.Instance {
	return target.Instance{
		Service: "user", ID: "user-1", Address: "10.0.0.1:80", Version: "v1", Zone: "a", Weight: 7, Meta: map[string]string{"k": "v"},
	}
}

func endpoint(addr string) resolver.Endpoint {
	return resolver.Endpoint{Addresses: []resolver.Address{{Addr: addr}}}
}

func TestAttributesSurviveTheJourney(t *testing.T) {
	in := full()
	before := endpoint(in.Address)
	ep := target.SetEndpoint(before, in)
	got, ok := target.FromEndpoint(ep)
	if !ok || cmp.Diff(in, got) != "" {
		t.Errorf("got %+v, %v", got, ok)
	}
	id, ok := target.IdentityFrom(ep.Addresses[0].Attributes)
	if want := (target.Identity{Service: "user", ID: "user-1"}); !ok || id != want {
		t.Errorf("identity %+v, %v", id, ok)
	}
	if before.Addresses[0].Attributes != nil {
		t.Error("the original address was changed")
	}
}

func TestAttributesThatAreNotThere(t *testing.T) {
	if _, ok := target.FromAttributes(nil); ok {
		t.Error("an instance in nil attributes")
	}
	if _, ok := target.FromEndpoint(resolver.Endpoint{Attributes: attributes.New("other", 1)}); ok {
		t.Error("an instance in foreign attributes")
	}
	if _, ok := target.IdentityFrom(nil); ok {
		t.Error("an identity in nil attributes")
	}
	if target.FromState(resolver.State{}) != nil {
		t.Error("live state in an empty state")
	}
}

func TestChangedWeightKeepsTheAddressTheSame(t *testing.T) {
	a, b := full(), full()
	b.Weight, b.Meta = 9, map[string]string{"k": "w"}
	x, y := target.SetEndpoint(endpoint(a.Address), a), target.SetEndpoint(endpoint(b.Address), b)
	if !x.Addresses[0].Equal(y.Addresses[0]) {
		t.Error("gRPC would reconnect because a weight changed")
	}
	if x.Attributes.Equal(y.Attributes) {
		t.Error("the change is not seen")
	}
	if same := target.SetEndpoint(endpoint(a.Address), full()); !x.Attributes.Equal(same.Attributes) {
		t.Error("equal instances have different attributes")
	}
}

func TestInstanceEqual(t *testing.T) {
	changes := map[string]func(*target.Instance){
		"service": func(i *target.Instance) { i.Service = "x" },
		"id":      func(i *target.Instance) { i.ID = "x" },
		"address": func(i *target.Instance) { i.Address = "x" },
		"version": func(i *target.Instance) { i.Version = "x" },
		"zone":    func(i *target.Instance) { i.Zone = "x" },
		"weight":  func(i *target.Instance) { i.Weight = 8 },
		"meta":    func(i *target.Instance) { i.Meta = nil },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			in := full()
			if change(&in); in.Equal(full()) {
				t.Error("not seen")
			}
		})
	}
	if !full().Equal(full()) {
		t.Error("equal instances differ")
	}
}

// gRPC prints an address when it cannot be reached.
func TestWhatAnAddressCarriesCanBeRead(t *testing.T) {
	for want, in := range map[string]target.Instance{
		`"identity": "user/user-1"`: full(),
		`"identity": "10.0.0.1:80"`: {ID: "10.0.0.1:80", Address: "10.0.0.1:80"},
	} {
		ep := target.SetEndpoint(resolver.Endpoint{Addresses: []resolver.Address{{Addr: in.Address}}}, in)
		if got := ep.Addresses[0].String(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s in it", got, want)
		}
		if got := ep.Attributes.String(); !strings.Contains(got, `"instance": "`+in.String()+`"`) {
			t.Errorf("got %s", got)
		}
	}
	state := target.SetState(resolver.State{}, nil)
	if got := state.Attributes.String(); !strings.Contains(got, `"target"`) {
		t.Errorf("got %s", got)
	}
}

func TestInstanceString(t *testing.T) {
	for want, in := range map[string]target.Instance{
		"user-1 (10.0.0.1:80)": full(),
		"10.0.0.1:80":          {ID: "10.0.0.1:80", Address: "10.0.0.1:80"},
		"10.0.0.2:80":          {Address: "10.0.0.2:80"},
	} {
		if got := in.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestBestConnectionCounts(t *testing.T) {
	type conn struct {
		state  connectivity.State
		health target.Health
	}
	cases := []struct {
		name     string
		conns    []conn
		usable   bool
		observed bool
		shown    string
		health   string
	}{
		{"none", nil, false, false, "NONE", "UNKNOWN"},
		{"idle", []conn{{connectivity.Idle, 0}}, false, true, "IDLE", "UNKNOWN"},
		{"ready without health", []conn{{connectivity.Ready, 0}}, true, true, "READY", "UNKNOWN"},
		{"ready and serving", []conn{{connectivity.Ready, target.HealthServing}}, true, true, "READY", "SERVING"},
		{"ready and not serving", []conn{{connectivity.Ready, target.HealthNotServing}}, false, true, "READY", "NOT_SERVING"},
		{"one of two up", []conn{{connectivity.TransientFailure, 0}, {connectivity.Ready, target.HealthServing}}, true, true, "READY", "SERVING"},
		{"failing and connecting", []conn{{connectivity.TransientFailure, 0}, {connectivity.Connecting, 0}}, false, true, "CONNECTING", "UNKNOWN"},
		{"failing and idle", []conn{{connectivity.TransientFailure, 0}, {connectivity.Idle, 0}}, false, true, "IDLE", "UNKNOWN"},
		{"failing", []conn{{connectivity.TransientFailure, 0}}, false, true, "TRANSIENT_FAILURE", "UNKNOWN"},
		{"not serving beats connecting", []conn{{connectivity.Connecting, 0}, {connectivity.Ready, target.HealthNotServing}}, false, true, "READY", "NOT_SERVING"},
	}
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			r := target.NewRegistry()
			tg := r.Acquire("file:///user")
			tg.Apply([]target.Entry{{Instance: full()}})
			live := tg.Live(full().Address)
			for _, c := range tt.conns {
				live.Track().Set(c.state, c.health)
			}
			usable, observed := live.Usable()
			s := tg.Snapshot().Instances[0]
			if usable != tt.usable || observed != tt.observed || s.Connection != tt.shown || s.Health != tt.health || s.Connections != len(tt.conns) {
				t.Errorf("usable %v, observed %v, shown %+v", usable, observed, s)
			}
		})
	}
}

func TestClosedConnectionIsForgotten(t *testing.T) {
	tg := target.NewRegistry().Acquire("x")
	tg.Apply([]target.Entry{{Instance: full()}})
	live := tg.Live(full().Address)
	c := live.Track()
	c.Set(connectivity.Ready, target.HealthServing)
	c.Close()
	c.Close()
	c.Set(connectivity.Ready, target.HealthServing)
	if usable, observed := live.Usable(); usable || observed {
		t.Errorf("usable %v, observed %v after Close", usable, observed)
	}
}

func TestInstancesThatStayKeepTheirState(t *testing.T) {
	tg := target.NewRegistry().Acquire("x")
	a, b := full(), full()
	b.ID, b.Address = "user-2", "10.0.0.2:80"
	tg.Apply([]target.Entry{{Instance: a}, {Instance: b}})
	tg.Live(a.Address).Track().Set(connectivity.Ready, target.HealthServing)
	a.Weight = 1
	tg.Apply([]target.Entry{{Instance: a, Held: true}})
	live := tg.Live(a.Address)
	if usable, _ := live.Usable(); !usable || live.Instance().Weight != 1 {
		t.Errorf("after a new list: usable %v, %+v", usable, live.Instance())
	}
	if tg.Live(b.Address) != nil {
		t.Error("an instance that is not in the list is known")
	}
	if !tg.Snapshot().Instances[0].Held {
		t.Error("held is not shown")
	}
}

func TestTargetIsShownWhileSomebodyHoldsIt(t *testing.T) {
	r := target.NewRegistry()
	first, second := r.Acquire("b"), r.Acquire("b")
	if first != second {
		t.Fatal("two states for one target")
	}
	other := r.Acquire("a")
	if s := r.Snapshot(); len(s) != 2 || s[0].Target != "a" || s[1].Target != first.Name() {
		t.Errorf("snapshot: %+v", s)
	}
	r.Release(first)
	if r.Lookup("b") != first {
		t.Error("forgotten while held")
	}
	r.Release(second)
	if r.Lookup("b") != nil {
		t.Error("shown after the last release")
	}
	fresh := r.Acquire("b")
	r.Release(second) // a release too many of an old state
	if r.Lookup("b") != fresh {
		t.Error("an old state's release took the new one away")
	}
	r.Release(other)
}

func TestSnapshotIsJSON(t *testing.T) {
	r := target.NewRegistry()
	tg := r.Acquire("file:///user")
	tg.Apply([]target.Entry{{Instance: full()}})
	tg.Decide(target.Decision{Kind: "accepted", Reason: "1 instance", Time: time.Unix(0, 0).UTC()})
	b, err := json.Marshal(r.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"target":"file:///user","decision":{"kind":"accepted","reason":"1 instance","time":"1970-01-01T00:00:00Z"},"instances":[` +
		`{"service":"user","id":"user-1","address":"10.0.0.1:80","version":"v1","zone":"a","weight":7,"meta":{"k":"v"},` +
		`"connections":0,"connection":"NONE","health":"UNKNOWN"}]}]`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrentUse(t *testing.T) {
	r := target.NewRegistry()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			tg := r.Acquire("x")
			defer r.Release(tg)
			for j := range 200 {
				in := full()
				in.Address = fmt.Sprint(j % 5)
				tg.Apply([]target.Entry{{Instance: in}})
				tg.Decide(target.Decision{Kind: "accepted"})
				if l := tg.Live(in.Address); l != nil {
					c := l.Track()
					c.Set(connectivity.State(i%4), target.HealthServing)
					l.Usable()
					c.Close()
				}
				r.Snapshot()
				tg.Decision()
			}
		})
	}
	wg.Wait()
}

func BenchmarkLive(b *testing.B) {
	tg := target.NewRegistry().Acquire("x")
	tg.Apply([]target.Entry{{Instance: full()}})
	b.ReportAllocs()
	for b.Loop() {
		if tg.Live("10.0.0.1:80") == nil {
			b.Fatal("not known")
		}
	}
}

func TestInstanceThatComesBackBeforeItsConnectionsAreClosedKeepsThem(t *testing.T) {
	tg := target.NewRegistry().Acquire("file:///user")
	list := []target.Entry{{Instance: full()}}
	tg.Apply(list)
	conn := tg.Live(full().Address).Track()
	stop := tg.Live(full().Address).Observe(func() target.Balance { return target.Balance{InFlight: 3} })
	conn.Set(connectivity.Ready, target.HealthServing)
	tg.Apply(nil)
	if tg.Live(full().Address) != nil || len(tg.Snapshot().Instances) != 0 {
		t.Error("it is shown though no list has it")
	}
	tg.Apply(nil)
	tg.Apply(list)
	got := tg.Snapshot().Instances[0]
	if got.Connections != 1 || got.Health != "SERVING" || got.Balance == nil || got.Balance.InFlight != 3 {
		t.Errorf("its connection is not known any more: %+v", got)
	}
	tg.Apply(nil)
	conn.Close()
	stop()
	tg.Apply(nil)
	tg.Apply(list)
	if usable, observed := tg.Live(full().Address).Usable(); usable || observed {
		t.Error("what was closed is still known")
	}
}
