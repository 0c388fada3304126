package internal_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/breaker"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
	"github.com/keelson-dev/keelson/services/gateway/internal"
	"github.com/keelson-dev/keelson/target"
)

const userTarget = "file:///user"

// world is what the client of a gateway knows.
type world struct {
	*internal.Platform
	mu       sync.Mutex
	registry *target.Registry
	user     *target.Target
	traffic  *target.Traffic
	methods  []keelson.CalledMethod
	asked    int
	idle     bool
	more     []keelson.TargetState
	conns    map[string]*target.Conn
	list     []target.Entry
	stops    map[string]func()
	draining chan struct{}
	hold     chan struct{} // while it is full, looking takes time
}

// newWorld makes a platform service that looks at a world; within a bubble, it
// runs until the test ends.
func newWorld(t testing.TB, cfg internal.PlatformConfig, routes ...internal.PlatformRoute) *world {
	t.Helper()
	w := &world{
		registry: target.NewRegistry(), traffic: &target.Traffic{}, conns: map[string]*target.Conn{},
		stops: map[string]func(){}, draining: make(chan struct{}), hold: make(chan struct{}, 1),
	}
	w.user = w.registry.Acquire(userTarget)
	w.user.Decide(target.Decision{Kind: "accepted", Time: time.Now(), LastGood: time.Now()})
	if routes == nil {
		routes = []internal.PlatformRoute{{Service: "user.v1.UserService", Target: "user"}}
	}
	var err error
	w.Platform, err = internal.NewPlatform(cfg, internal.PlatformSources{
		Self: func() target.Instance {
			return target.Instance{Service: "gateway", ID: "gateway-1", Version: "v3", Weight: 100}
		},
		Targets:  w.targets,
		Routes:   routes,
		Draining: func(context.Context) <-chan struct{} { return w.draining },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) targets() []keelson.TargetState {
	w.hold <- struct{}{}
	<-w.hold
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.idle {
		return w.more
	}
	return append([]keelson.TargetState{{Snapshot: w.user.Snapshot(), LoadBalancer: "least_request", Traffic: w.traffic, Methods: w.methods}}, w.more...)
}

func instanceOf(id string) target.Instance {
	return target.Instance{Service: "user", ID: id, Address: "10.0.0.1:" + strings.TrimLeft(id, "user-"), Version: "v1", Zone: "a", Weight: 100}
}

// register puts instances into the registry, connected to and serving.
func (w *world) register(ids ...string) {
	for _, id := range ids {
		w.list = append(w.list, target.Entry{Instance: instanceOf(id)})
	}
	w.user.Apply(w.list)
	for _, id := range ids {
		w.conns[id] = w.live(id).Track()
		w.connection(id, connectivity.Ready, target.HealthServing)
	}
}

func (w *world) live(id string) *target.Live { return w.user.Live(instanceOf(id).Address) }

func (w *world) connection(id string, s connectivity.State, h target.Health) { w.conns[id].Set(s, h) }

// unregister takes instances out of the registry.
func (w *world) unregister(ids ...string) {
	w.list = slices.DeleteFunc(w.list, func(e target.Entry) bool { return slices.Contains(ids, e.Instance.ID) })
	w.user.Apply(w.list)
	for _, id := range ids {
		w.conns[id].Close()
		if stop := w.stops[id]; stop != nil {
			stop()
		}
	}
}

func (w *world) balance(id string, b target.Balance) {
	if stop := w.stops[id]; stop != nil {
		stop()
	}
	w.stops[id] = w.live(id).Observe(func() target.Balance { return b })
}

// service returns a service as it is now.
func (w *world) service(t testing.TB, id string, history bool) *platformv1.Service {
	t.Helper()
	s, err := w.GetService(t.Context(), &platformv1.GetServiceRequest{Name: "services/" + id, History: history})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// statuses are the instances as a person would note them.
func statuses(s *platformv1.Service) string {
	out := []string{strings.TrimPrefix(s.GetState().String(), "STATE_")}
	for _, i := range s.GetInstances() {
		out = append(out, i.GetId()+" "+strings.TrimPrefix(i.GetStatus().String(), "STATUS_"))
	}
	return strings.Join(out, ", ")
}

// pass lets time go by.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// situation is something that happens, and what is told of it.
type situation struct {
	happen func(t *testing.T, w *world)
	want   string
	reason string // of the service
	why    string // of the first instance
}

func situations() map[string]situation {
	const ready, connecting, failure, idle = connectivity.Ready, connectivity.Connecting, connectivity.TransientFailure, connectivity.Idle
	return map[string]situation{
		"well": {func(*testing.T, *world) {}, "SERVING, user-1 SERVING, user-2 SERVING", "", ""},
		"one drains": {func(t *testing.T, w *world) { w.connection("user-1", ready, target.HealthNotServing) },
			"SERVING, user-1 DRAINING, user-2 SERVING", "", "it says that it serves no new calls"},
		"all drain": {func(t *testing.T, w *world) {
			w.connection("user-1", ready, target.HealthNotServing)
			w.connection("user-2", ready, target.HealthNotServing)
		}, "DEGRADED, user-1 DRAINING, user-2 DRAINING", "all instances that are connected drain", "it says that it serves no new calls"},
		"one cannot be connected to": {func(t *testing.T, w *world) { w.connection("user-1", failure, 0) },
			"DEGRADED, user-1 UNREACHABLE, user-2 SERVING", "1 of 2 instances cannot be reached", "it cannot be connected to"},
		"it is tried again": {func(t *testing.T, w *world) {
			w.connection("user-1", failure, 0)
			pass(time.Second)
			w.connection("user-1", connecting, 0)
		}, "DEGRADED, user-1 UNREACHABLE, user-2 SERVING", "1 of 2 instances cannot be reached", "it cannot be connected to"},
		"its connection does not come back": {func(t *testing.T, w *world) {
			w.connection("user-1", connecting, 0)
			pass(2 * time.Second)
		}, "DEGRADED, user-1 UNREACHABLE, user-2 SERVING", "1 of 2 instances cannot be reached", "its connection broke and is not back"},
		"its connection is made anew": {func(t *testing.T, w *world) {
			w.connection("user-1", connecting, 0)
			pass(400 * time.Millisecond)
			if got := statuses(w.service(t, "user", false)); got != "SERVING, user-1 SERVING, user-2 SERVING" {
				t.Errorf("meanwhile it is %s", got)
			}
			w.connection("user-1", ready, target.HealthServing)
		}, "SERVING, user-1 SERVING, user-2 SERVING", "", ""},
		"it is back": {func(t *testing.T, w *world) {
			w.connection("user-1", failure, 0)
			pass(time.Second)
			w.connection("user-1", ready, target.HealthServing)
		}, "SERVING, user-1 SERVING, user-2 SERVING", "", ""},
		"none is needed": {func(t *testing.T, w *world) { w.connection("user-1", idle, 0) },
			"SERVING, user-1 UNKNOWN, user-2 SERVING", "", "nothing is connected to it"},
		"one hangs": {func(t *testing.T, w *world) {
			w.balance("user-1", target.Balance{Breaker: target.BreakerOpen, Ejected: "hang", EjectedAt: time.Now()})
		}, "DEGRADED, user-1 EJECTED, user-2 SERVING", "1 of 2 instances are ejected", "its breaker is open: calls to it hung"},
		"one fails": {func(t *testing.T, w *world) {
			w.balance("user-1", target.Balance{Breaker: target.BreakerOpen, Ejected: "failures", EjectedAt: time.Now()})
		}, "DEGRADED, user-1 EJECTED, user-2 SERVING", "1 of 2 instances are ejected", "its breaker is open: too many calls to it failed"},
		"one is gone and out": {func(t *testing.T, w *world) {
			w.balance("user-1", target.Balance{Breaker: target.BreakerOpen, Ejected: "failures", EjectedAt: time.Now()})
			w.connection("user-1", failure, 0)
		}, "DEGRADED, user-1 UNREACHABLE, user-2 SERVING", "1 of 2 instances cannot be reached", "it cannot be connected to"},
		"all are away": {func(t *testing.T, w *world) {
			w.connection("user-1", failure, 0)
			w.connection("user-2", failure, 0)
		}, "DOWN, user-1 UNREACHABLE, user-2 UNREACHABLE", "2 of 2 instances cannot be reached", "it cannot be connected to"},
		"none is in the registry": {func(t *testing.T, w *world) { w.unregister("user-1", "user-2") },
			"DOWN, user-1 GONE, user-2 GONE", "no instance is known (registry: accepted); 2 instances went without draining", "it left the registry without draining"},
		"no connection is kept": {func(t *testing.T, w *world) { w.conns["user-1"].Close(); w.conns["user-2"].Close() },
			"UNKNOWN, user-1 UNKNOWN, user-2 UNKNOWN", "nothing is connected to its instances yet", "nothing is connected to it"},
		"the client rests": {func(t *testing.T, w *world) { w.mu.Lock(); w.idle = true; w.mu.Unlock() }, "UNKNOWN", "nothing is connected to it", ""},
		"a method is sick": {func(t *testing.T, w *world) {
			w.mu.Lock()
			w.methods = []keelson.CalledMethod{{Method: "/user.v1.UserService/GetUser", Breaker: &breaker.Snapshot{State: "half_open", Rejections: 3}}}
			w.mu.Unlock()
		}, "DEGRADED, user-1 SERVING, user-2 SERVING", "breakers are not closed: user.v1.UserService/GetUser", ""},
	}
}

func TestPlatformSaysHowInstancesAre(t *testing.T) {
	for name, tc := range situations() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, internal.PlatformConfig{})
				w.register("user-1", "user-2")
				pass(3 * time.Second)
				tc.happen(t, w)
				pass(time.Second)
				s := w.service(t, "user", false)
				if got := statuses(s); got != tc.want || s.GetStateReason() != tc.reason {
					t.Errorf("it is %s (%s), want %s (%s)", got, s.GetStateReason(), tc.want, tc.reason)
				}
				if len(s.GetInstances()) > 0 && s.GetInstances()[0].GetStatusReason() != tc.why {
					t.Errorf("the first instance is so because %q, want %q", s.GetInstances()[0].GetStatusReason(), tc.why)
				}
			})
		})
	}
}

func TestPlatformDoesNotCallDownWhatTheRegistryIsStillAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.user.Decide(target.Decision{Kind: "waiting", Reason: "it has not answered yet", Time: time.Now()})
		pass(3 * time.Second)
		s := w.service(t, "user", false)
		if got := statuses(s); got != "UNKNOWN" || s.GetResolution().GetDecision() != "waiting" {
			t.Errorf("it is %s (%s), and the decision %q", got, s.GetStateReason(), s.GetResolution().GetDecision())
		}
	})
}

func TestPlatformShowsWhatIsKnownOfAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		began := time.Now()
		w.register("user-1")
		w.balance("user-1", target.Balance{Breaker: target.BreakerHalfOpen, Factor: 0.5, Why: "zone,returning", InFlight: 7, Ejected: "hang", EjectedAt: began})
		pass(3 * time.Second)
		s := w.service(t, "user", false)
		i := s.GetInstances()[0]
		got := fmt.Sprintln(i.GetId(), i.GetAddress(), i.GetVersion(), i.GetZone(), i.GetWeight(), i.GetConnection(), i.GetHealth(),
			i.GetBreaker(), i.GetBalanceFactor(), i.GetBalanceReasons(), i.GetEjectReason(), i.GetTraffic().GetInFlight())
		if want := fmt.Sprintln("user-1", "10.0.0.1:1", "v1", "a", 100, "CONNECTION_READY", "HEALTH_SERVING", "BREAKER_STATE_HALF_OPEN", 0.5, []string{"zone", "returning"}, "hang", 7); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if first, last := i.GetFirstSeenTime().AsTime(), i.GetLastSeenTime().AsTime(); first.Sub(began) > time.Second || last.Sub(began) < 2*time.Second {
			t.Errorf("seen from %s to %s, which began at %s", first, last, began)
		}
		if s.GetTarget() != userTarget || s.GetLoadBalancer() != "least_request" || s.GetResolution().GetDecision() != "accepted" || s.GetResolution().GetLastGoodTime() == nil {
			t.Errorf("the service is %v", s)
		}
		self := w.service(t, "gateway", true)
		if got := statuses(self); got != "SERVING, gateway-1 SERVING" || !self.GetSelf() || self.GetInstances()[0].GetVersion() != "v3" || self.GetTraffic() != nil || self.GetHistory() != nil {
			t.Errorf("the gateway is %v", self)
		}
	})
}

// TestPlatformShowsWhatIsNoText sees to it that what a registry or a configuration says
// in another encoding does not make the answer about all services fail.
func TestPlatformShowsWhatIsNoText(t *testing.T) {
	const bad = "Z\xfcrich"
	instance := target.Instance{Service: "user", ID: bad, Address: bad, Version: bad, Zone: bad}
	p, err := internal.NewPlatform(internal.PlatformConfig{}, internal.PlatformSources{
		Self: func() target.Instance { return instance },
		Targets: func() []keelson.TargetState {
			return []keelson.TargetState{{Snapshot: target.Snapshot{
				Target: userTarget, Decision: target.Decision{Kind: "empty", Reason: bad},
				Instances: []target.InstanceSnapshot{{Instance: instance}},
			}}}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.ListServices(t.Context(), &platformv1.ListServicesRequest{History: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := proto.Marshal(list); err != nil {
		t.Error(err)
	}
	for _, s := range list.GetServices() {
		if i := s.GetInstances()[0]; i.GetZone() != "Z\uFFFDrich" || i.GetId() != i.GetZone() {
			t.Errorf("%s is shown as %v", s.GetName(), i)
		}
	}
}

func TestPlatformKeepsWhoVanishedForTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		w.register("user-1", "user-2", "user-3")
		pass(2 * time.Second)
		w.connection("user-2", connectivity.Ready, target.HealthNotServing)
		w.live("user-3").Traffic().End(false, time.Millisecond)
		pass(2 * time.Second)
		w.unregister("user-2", "user-3")
		pass(time.Second)
		s := w.service(t, "user", false)
		if got := statuses(s); got != "DEGRADED, user-1 SERVING, user-2 GONE, user-3 GONE" {
			t.Errorf("it is %s", got)
		}
		drained, crashed := s.GetInstances()[1], s.GetInstances()[2]
		if !drained.GetGone() || !drained.GetLeftOrderly() || !crashed.GetGone() || crashed.GetLeftOrderly() || crashed.GetTraffic().GetCallCount() != 1 {
			t.Errorf("one drained: %v\nthe other did not: %v", drained, crashed)
		}
		pass(12 * time.Second)
		if s := w.service(t, "user", false); s.GetState() != platformv1.Service_STATE_SERVING {
			t.Errorf("it is still %s: %s", s.GetState(), s.GetStateReason())
		}
		// It comes back under its name, elsewhere and with a counter that begins anew.
		w.list = append(w.list, target.Entry{Instance: target.Instance{Service: "user", ID: "user-3", Address: "10.0.0.9:9"}})
		w.user.Apply(w.list)
		w.user.Live("10.0.0.9:9").Track().Set(connectivity.Ready, target.HealthServing)
		w.user.Live("10.0.0.9:9").Traffic().End(true, time.Millisecond)
		pass(time.Second)
		back := w.service(t, "user", false).GetInstances()[2]
		if back.GetGone() || back.GetAddress() != "10.0.0.9:9" || back.GetTraffic().GetCallCount() != 2 || back.GetTraffic().GetErrorCount() != 1 || !back.GetFirstSeenTime().AsTime().Equal(crashed.GetFirstSeenTime().AsTime()) {
			t.Errorf("it is back as %v", back)
		}
		pass(2 * time.Minute)
		if got := statuses(w.service(t, "user", false)); got != "SERVING, user-1 SERVING, user-3 SERVING" {
			t.Errorf("after two minutes it is %s", got)
		}
	})
}

func TestPlatformKeepsABoundedNumberOfThoseWhoVanished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{})
		var ids []string
		for n := range 100 {
			ids = append(ids, fmt.Sprintf("user-%d", 1000+n))
		}
		w.register(ids...)
		pass(time.Second)
		w.unregister(ids[:10]...)
		pass(5 * time.Second)
		w.unregister(ids[10:]...)
		pass(time.Second)
		s := w.service(t, "user", false)
		if len(s.GetInstances()) != 64 {
			t.Errorf("%d are kept", len(s.GetInstances()))
		}
		for _, i := range s.GetInstances() {
			if slices.Contains(ids[:10], i.GetId()) {
				t.Errorf("%s is kept, which went first", i.GetId())
			}
		}
	})
}

func TestPlatformListsServicesByPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, internal.PlatformConfig{}, internal.PlatformRoute{Service: "user.v1.UserService", Target: "user"},
			internal.PlatformRoute{Service: "audit.v1.AuditService", Target: "audit"}, internal.PlatformRoute{Service: "user.v1.Another", Target: userTarget},
			internal.PlatformRoute{Service: "far.v1.Far", Target: "dns:///far.example:443"}, internal.PlatformRoute{Service: "far.v2.Far", Target: "far.example:443"},
			internal.PlatformRoute{Service: "twin.v1.Twin", Target: "consul:///user"})
		var names []string
		token := ""
		for {
			resp, err := w.ListServices(t.Context(), &platformv1.ListServicesRequest{PageSize: 2, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range resp.GetServices() {
				name := s.GetName() + " " + s.GetTarget()
				for _, g := range s.GetGrpcServices() {
					name += " " + g.GetFullName()
				}
				names = append(names, name)
			}
			if token = resp.GetNextPageToken(); token == "" {
				break
			}
		}
		want := []string{
			"services/audit audit audit.v1.AuditService",
			"services/far.example-443 dns:///far.example:443 far.v1.Far",
			"services/far.example-443-1cfc7b65 far.example:443 far.v2.Far",
			"services/gateway ",
			"services/user consul:///user twin.v1.Twin",
			"services/user-21f6c1f5 file:///user user.v1.Another user.v1.UserService",
		}
		if !slices.Equal(names, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestPlatformRefusesWhatItDoesNotKnow(t *testing.T) {
	w := newWorld(t, internal.PlatformConfig{})
	for name, tc := range map[string]struct {
		call   func() error
		code   codes.Code
		reason string
	}{
		"a negative page": {func() error {
			_, err := w.ListServices(t.Context(), &platformv1.ListServicesRequest{PageSize: -1})
			return err
		}, codes.InvalidArgument, internal.ReasonInvalidRequest},
		"a foreign token": {func() error {
			_, err := w.ListServices(t.Context(), &platformv1.ListServicesRequest{PageToken: "eHg"})
			return err
		}, codes.InvalidArgument, internal.ReasonInvalidRequest},
		"garbage": {func() error {
			_, err := w.ListServices(t.Context(), &platformv1.ListServicesRequest{PageToken: "%"})
			return err
		}, codes.InvalidArgument, internal.ReasonInvalidRequest},
		"another service": {func() error {
			_, err := w.GetService(t.Context(), &platformv1.GetServiceRequest{Name: "services/other"})
			return err
		}, codes.NotFound, internal.ReasonServiceNotFound},
		"another configuration": {func() error {
			_, err := w.GetConsoleConfig(t.Context(), &platformv1.GetConsoleConfigRequest{Name: "x"})
			return err
		}, codes.InvalidArgument, internal.ReasonInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			if e := wantError(t, tc.call(), tc.code, tc.reason); e.Domain() != internal.PlatformDomain {
				t.Errorf("its domain is %s", e.Domain())
			}
		})
	}
}
