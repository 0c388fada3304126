package consultest_test

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"

	consultest "github.com/keelson-dev/keelson/internal/testservers/consul"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, a *consultest.Agent) int {
	t.Helper()
	var services map[string]any
	must(t, a.Do(t.Context(), http.MethodGet, "/v1/agent/services", "", &services))
	return len(services)
}

func TestAnAgentKeepsOrForgetsWhatItKnew(t *testing.T) {
	a := consultest.Run(t, consultest.Config{})
	address := a.Address()
	must(t, a.Do(t.Context(), http.MethodPut, "/v1/agent/service/register", `{"Name":"x","Port":1}`, nil))
	must(t, a.Restart(t.Context()))
	if names(t, a) != 1 || a.Address() != address {
		t.Fatalf("after a restart: %d services at %s, want 1 at %s", names(t, a), a.Address(), address)
	}
	must(t, a.Wipe(t.Context()))
	if names(t, a) != 0 {
		t.Fatal("Wipe left something")
	}
	must(t, a.Do(t.Context(), http.MethodPut, "/v1/agent/service/register", `{"Name":"x","Port":1}`, nil))
	must(t, a.RestartEmpty(t.Context()))
	if names(t, a) != 0 {
		t.Fatal("RestartEmpty left something")
	}
	must(t, a.Kill())
	if a.PID() != 0 || a.Do(t.Context(), http.MethodGet, "/v1/status/leader", "", nil) == nil {
		t.Fatal("a killed agent still answers")
	}
}

func TestAClusterOutlivesItsLeader(t *testing.T) {
	c := consultest.RunCluster(t, 3, consultest.Config{})
	old, err := c.KillLeader(t.Context())
	must(t, err)
	next, err := c.NewLeader(t.Context(), old)
	must(t, err)
	must(t, next.Do(t.Context(), http.MethodPut, "/v1/kv/x", "1", nil))
	must(t, old.Restart(t.Context()))
}
