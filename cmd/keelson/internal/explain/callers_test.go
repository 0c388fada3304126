package explain_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/connectivity"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/explain"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/target"
)

func TestExplainShowsWhoCallsAndWhatTheyMakeOfEachInstance(t *testing.T) {
	registry := target.NewRegistry()
	user := registry.Acquire("file:///user")
	in := target.Instance{Service: "user", ID: "user-1", Address: "127.0.0.1:1"}
	user.Apply([]target.Entry{{Instance: in}})
	user.Decide(target.Decision{Kind: "accepted", Reason: "1 instance", Time: time.Now()})
	user.Live(in.Address).Track().Set(connectivity.Ready, target.HealthServing)
	defer user.Live(in.Address).Observe(func() target.Balance {
		return target.Balance{Breaker: target.BreakerHalfOpen, Factor: 0.25, Why: "recovery", Latency: 1500 * time.Microsecond, InFlight: 7}
	})()
	state := keelson.TargetState{Snapshot: user.Snapshot(), LoadBalancer: "least_request", Methods: []keelson.CalledMethod{
		{Method: "/user.v1.UserService/GetUser", Timeout: "2s", RetryAttempts: 3, Hedge: "on", HedgeDelay: "12ms",
			Breaker: &breaker.Snapshot{State: "closed", Calls: 40, Failures: 2}},
		{Method: "/user.v1.UserService/ListUsers", Timeout: "5s", RetryAttempts: 1, Hedge: "off"},
	}}
	instance(t, "audit", "audit-1", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/debug/keelson/targets" {
			_ = json.NewEncoder(w).Encode([]keelson.TargetState{state})
			return
		}
		http.NotFound(w, r)
	}))

	wants(t, run(t, explain.Options{Method: "GetUser"}),
		"called by audit-1 at file:///user",
		"timeout 2s, 3 attempts, hedge on after 12ms, breaker closed (2 of 40 calls failed)",
		"least_request over 1 instance; registry: accepted, 1 instance",
		"user-1 READY SERVING half-open 25 % (recovery) 1.5ms 7")
	wants(t, run(t, explain.Options{Method: "ListUsers"}), "timeout 5s, 1 attempt, hedge off, breaker off")

	var got struct{ Callers []explain.Caller }
	must(t, json.Unmarshal([]byte(run(t, explain.Options{Method: "GetUser", JSON: true})), &got))
	if len(got.Callers) != 1 || got.Callers[0].Instance != "audit-1" || len(got.Callers[0].Instances) != 1 {
		t.Errorf("callers: %+v", got.Callers)
	}
	got.Callers = nil
	must(t, json.Unmarshal([]byte(run(t, explain.Options{Method: "CreateUser", JSON: true})), &got))
	if len(got.Callers) != 0 {
		t.Errorf("callers of a method that nobody calls: %+v", got.Callers)
	}
}

// One that hangs is given up after seconds: the others must not wait for that.
func TestExplainAsksAllAtOnce(t *testing.T) {
	const instances = 3
	var policies, targets sync.WaitGroup
	policies.Add(instances)
	targets.Add(instances)
	table := policy.NewTable(policy.Linked()...)
	answers := map[string]struct {
		asked *sync.WaitGroup
		page  any
	}{
		"/debug/keelson/policy": {&policies, []policy.Description{table.Lookup("/user.v1.UserService/GetUser").Describe()}},
		"/debug/keelson/targets": {&targets, []keelson.TargetState{{
			Snapshot: target.Snapshot{Target: "file:///user"}, Methods: []keelson.CalledMethod{{Method: "/user.v1.UserService/GetUser"}},
		}}},
	}
	debug := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := answers[r.URL.Path]
		a.asked.Done()
		all := make(chan struct{})
		go func() { defer close(all); a.asked.Wait() }()
		select {
		case <-all:
			_ = json.NewEncoder(w).Encode(a.page)
		case <-r.Context().Done(): // given up
		}
	}))
	defer debug.Close()
	dir := t.TempDir()
	t.Setenv(workspace.Variable, dir)
	driver, err := file.New(dir, file.Config{})
	must(t, err)
	for k := range instances {
		must(t, driver.Register(t.Context(), discovery.Instance{
			Service: "user", ID: fmt.Sprintf("user-%d", k), Address: fmt.Sprintf("127.0.0.1:%d", 1+k),
			DebugAddress: debug.Listener.Addr().String(), PID: os.Getpid(),
		}))
	}
	wants(t, run(t, explain.Options{Method: "GetUser"}), "instance user-0, as it runs now", "called by user-0", "called by user-1", "called by user-2")
}
