package consul_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
	consultest "github.com/keelson-dev/keelson/internal/testservers/consul"
)

// patience bounds what must happen; only a failing test takes so long.
const patience = 60 * time.Second

// eventually waits until ok returns "", which otherwise says what is missing.
func eventually(t *testing.T, ok func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for {
		missing := ok()
		if missing == "" {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited %s: %s", patience, missing)
		}
	}
}

// watching follows a service, run after run, and keeps the last update and error.
type watching struct {
	mu    sync.Mutex
	last  discovery.Update
	lists int
	stale string
	err   error
	empty bool // an empty list was delivered
}

func watch(t *testing.T, d *consul.Driver, q discovery.Query) *watching {
	t.Helper()
	w := &watching{}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			err := d.Watch(ctx, q, w.take)
			w.mu.Lock()
			w.err = err
			w.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return w
}

func (w *watching) take(u discovery.Update) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale = u.Stale
	if u.Unchanged {
		return
	}
	w.last = u
	w.lists++
	w.empty = w.empty || len(u.Instances)+len(u.Failing) == 0
}

// says describes the last list: "a=100 b=50 !c", with weights, and what fails behind an exclamation mark.
func (w *watching) says() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, in := range w.last.Instances {
		all = append(all, fmt.Sprintf("%s=%d", in.ID, in.Weight))
	}
	for _, in := range w.last.Failing {
		all = append(all, "!"+in.ID)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (w *watching) wants(t *testing.T, want string) {
	t.Helper()
	eventually(t, func() string {
		if got := w.says(); got != want {
			w.mu.Lock()
			defer w.mu.Unlock()
			return fmt.Sprintf("the list is %q, want %q; last error: %v", got, want, w.err)
		}
		return ""
	})
}

func instance(id string, port int) discovery.Instance {
	return discovery.Instance{
		Service: "user", ID: id, Address: fmt.Sprintf("127.0.0.1:%d", port), Version: "v1.2.3", Zone: "west", Weight: 100,
	}
}

var user = discovery.Query{Service: "user"}

func TestAnInstanceIsCheckedOverItsOpsListener(t *testing.T) {
	a := emptyAgent(t)
	ops, status := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Tags: []string{"v1", "eu"}, Check: consul.CheckConfig{Interval: time.Second}})
	in := instance("user-1", 9090)
	in.OpsAddress = ops
	must(t, d.Register(t.Context(), in))
	w := watch(t, d, user)
	w.wants(t, "user-1=100")
	checkedBy := func(want string) {
		eventually(t, func() string {
			var checks []struct{ Type, Status string }
			must(t, a.Do(t.Context(), http.MethodGet, "/v1/health/checks/user", "", &checks))
			if len(checks) != 1 || checks[0].Type != "grpc" || checks[0].Status != want {
				return fmt.Sprintf("checks: %+v, want one of type grpc that is %s", checks, want)
			}
			return ""
		})
	}
	checkedBy("passing")
	status.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	checkedBy("critical")
	w.wants(t, "!user-1")
	status.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	w.wants(t, "user-1=100")

	var entries []struct {
		Service struct {
			Tags    []string
			Meta    map[string]string
			Weights map[string]int
		}
	}
	must(t, a.Do(t.Context(), http.MethodGet, "/v1/health/service/user", "", &entries))
	got := entries[0].Service
	if !slices.Equal(got.Tags, []string{"v1", "eu"}) || got.Weights["Passing"] != 100 || got.Weights["Warning"] != 50 {
		t.Errorf("tags and weights: %+v", got)
	}
	for k, want := range map[string]string{"version": "v1.2.3", "zone": "west", "weight": "100", "keelson-id": "user-1", "keelson-ops": ops} {
		if got.Meta[k] != want {
			t.Errorf("meta %s is %q, want %q", k, got.Meta[k], want)
		}
	}
}

func TestStatusOfChecksDecidesAboutWeight(t *testing.T) {
	a := emptyAgent(t)
	d := newDriver(t, consul.Config{Address: a.Address()})
	register := func(id, status, rest string) {
		must(t, a.Do(t.Context(), http.MethodPut, "/v1/agent/service/register", fmt.Sprintf(
			`{"ID": %q, "Name": "user", "Address": "10.0.0.1", "Port": %d, "Check": {"TTL": "1h", "Status": %q}%s}`, id, 1000+int(id[0]), status, rest), nil))
	}
	register("a", "passing", `, "Weights": {"Passing": 10, "Warning": 3}`)
	register("b", "warning", `, "Weights": {"Passing": 10, "Warning": 3}`)
	register("c", "critical", "")
	register("d", "passing", "") // others register without weights
	register("e", "warning", "")
	register("f", "passing", "")
	w := watch(t, d, user)
	w.wants(t, "!c a=10 b=3 d=100 e=50 f=100")
	must(t, a.Do(t.Context(), http.MethodPut, "/v1/agent/service/maintenance/f?enable=true", "", nil))
	w.wants(t, "!c !f a=10 b=3 d=100 e=50")
}

// An agent that streams says of every later answer that it knows no leader.
func TestLaterAnswersOfAWellAgentAreNotStale(t *testing.T) {
	a := emptyAgent(t)
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
	w := watch(t, d, user)
	for i, want := range []string{"a=100", "a=100 b=100", "a=100 b=100 c=100"} {
		must(t, d.Register(t.Context(), instance(string(rune('a'+i)), 9000+i)))
		w.wants(t, want)
		eventually(t, func() string {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.stale
		})
	}
}

func TestTagsSelectInstances(t *testing.T) {
	a := emptyAgent(t)
	ops, _ := healthy(t)
	for i, tags := range [][]string{{"v1"}, {"v2", "eu"}, {"v2"}} {
		d := newDriver(t, consul.Config{Address: a.Address(), Tags: tags, Check: checked(ops)})
		must(t, d.Register(t.Context(), instance(fmt.Sprintf("i%d", i), 9000+i)))
	}
	d := newDriver(t, consul.Config{Address: a.Address()})
	for query, want := range map[string]string{
		"tag=v1": "i0=100", "tag=v2": "i1=100 i2=100", "tag=v2&tag=eu": "i1=100", "dc=dc1": "i0=100 i1=100 i2=100", "dc=dc1&tag=v1": "i0=100",
	} {
		params, err := url.ParseQuery(query)
		must(t, err)
		watch(t, d, discovery.Query{Service: "user", Params: params}).wants(t, want)
	}
}

func TestASuccessorStaysWhenItsPredecessorDeregisters(t *testing.T) {
	a := emptyAgent(t)
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
	old := instance("user-1", 9090)
	old.PID, old.StartTime = 7, time.Now().Add(-time.Hour)
	next := old
	next.StartTime = time.Now() // in a container the PID is the same
	must(t, d.Register(t.Context(), old))
	must(t, d.Register(t.Context(), next))
	must(t, d.Deregister(t.Context(), old))
	ctx, cancel := context.WithTimeout(t.Context(), discovery.DefaultAttemptTimeout)
	defer cancel()
	must(t, d.Check(ctx, next))
	if err := d.Check(t.Context(), old); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check of the predecessor: %v, want ErrNotRegistered", err)
	}
	must(t, d.Deregister(t.Context(), next))
	if err := d.Check(t.Context(), next); !errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check after the deregistration: %v, want ErrNotRegistered", err)
	}
}

func TestTwoProcessesWithOneIDAreTold(t *testing.T) {
	a := emptyAgent(t)
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
	one, other := instance("user-1", 9090), instance("user-1", 9091)
	one.PID, other.PID = 7, 8
	must(t, d.Register(t.Context(), one))
	must(t, d.Register(t.Context(), other))
	err := d.Check(t.Context(), one)
	if !errors.Is(err, discovery.ErrNotRegistered) || !strings.Contains(err.Error(), "PID 8, at 127.0.0.1:9091") {
		t.Errorf("Check: %v; want an error that names the other process", err)
	}
}

func TestCheckNoticesALossWhileItBlocks(t *testing.T) {
	a := emptyAgent(t)
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
	in := instance("user-1", 9090)
	must(t, d.Register(t.Context(), in))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	lost := make(chan error, 1)
	go func() { lost <- d.Check(ctx, in) }()
	must(t, a.Wipe(t.Context()))
	if err := <-lost; !errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check returned %v, want ErrNotRegistered", err)
	}
	if ctx.Err() != nil {
		t.Error("the loss was noticed by nothing but the time")
	}
}

func TestAPausedAgentIsNotTakenForOneThatHasTheInstance(t *testing.T) {
	a := emptyAgent(t)
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
	in := instance("user-1", 9090)
	must(t, d.Register(t.Context(), in))
	must(t, a.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := d.Check(ctx, in)
	must(t, a.Resume())
	if err == nil || errors.Is(err, discovery.ErrNotRegistered) {
		t.Errorf("Check of a silent agent: %v; it could not know", err)
	}
}

func TestARegistrationOutlivesTheAgent(t *testing.T) {
	tests := map[string]func(t *testing.T, a *consultest.Agent){
		"killed and back with what it knew": func(t *testing.T, a *consultest.Agent) { must(t, a.Restart(t.Context())) },
		"killed and back empty":             func(t *testing.T, a *consultest.Agent) { must(t, a.RestartEmpty(t.Context())) },
		"wiped":                             func(t *testing.T, a *consultest.Agent) { must(t, a.Wipe(t.Context())) },
		"paused": func(t *testing.T, a *consultest.Agent) {
			must(t, a.Pause())
			must(t, a.Resume())
		},
	}
	for name, disturb := range tests {
		t.Run(name, func(t *testing.T) {
			a := emptyAgent(t)
			ops, _ := healthy(t)
			d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
			reg := prometheus.NewRegistry()
			register(t, d, instance("user-1", 9090), reg)
			w := watch(t, d, user)
			w.wants(t, "user-1=100")
			disturb(t, a)
			eventually(t, func() string {
				var services map[string]any
				must(t, a.Do(t.Context(), http.MethodGet, "/v1/agent/services", "", &services))
				if _, ok := services["user:user-1"]; !ok {
					return "the agent does not know the instance"
				}
				return ""
			})
			w.wants(t, "user-1=100")
			eventually(t, func() string {
				if v, err := testutil.GatherAndCount(reg, "keelson_registration_registered"); err != nil || v != 1 {
					return "no metric"
				}
				return ""
			})
		})
	}
}

// register keeps an instance registered until the test ends.
func register(t *testing.T, d *consul.Driver, in discovery.Instance, reg *prometheus.Registry) *discovery.Registration {
	t.Helper()
	r, err := discovery.NewRegistration(d, in, discovery.RegistrationConfig{}, discovery.WithRegisterer(reg))
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { _ = r.Run(ctx) }) // the agent may be away by then
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return r
}

func TestAnInstanceThatStartsWithoutAnAgentIsRegisteredLater(t *testing.T) {
	a := emptyAgent(t)
	must(t, a.Kill())
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: checked(ops)})
	r := register(t, d, instance("user-1", 9090), prometheus.NewRegistry())
	eventually(t, func() string {
		state, err := r.State()
		if state != discovery.StatePending || err == nil || !strings.Contains(err.Error(), a.Address()) {
			return fmt.Sprintf("state %s with %v, want pending with the address of the agent", state, err)
		}
		return ""
	})
	must(t, a.Restart(t.Context()))
	watch(t, d, user).wants(t, "user-1=100")
}

func TestAListOutlivesTheLeader(t *testing.T) {
	c := consultest.RunCluster(t, 3, consultest.Config{})
	follower, err := c.Follower(t.Context())
	must(t, err)
	ops, _ := healthy(t)
	d := newDriver(t, consul.Config{Address: follower.Address(), Check: checked(ops)})
	register(t, d, instance("user-1", 9090), prometheus.NewRegistry())
	w := watch(t, d, user)
	w.wants(t, "user-1=100")
	w.mu.Lock()
	w.empty = false // before the registration it was
	w.mu.Unlock()
	old, err := c.KillLeader(t.Context())
	must(t, err)
	_, err = c.NewLeader(t.Context(), old)
	must(t, err)
	late := instance("user-2", 9091)
	register(t, d, late, prometheus.NewRegistry())
	w.wants(t, "user-1=100 user-2=100")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.empty {
		t.Error("an empty list was delivered")
	}
}
