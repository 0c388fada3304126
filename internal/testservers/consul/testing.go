package consultest

import (
	"context"
	"errors"
	"os"
	"testing"
)

// RequireEnv is the environment variable that, set to 1, turns a missing Consul from a skipped test into a failed one. CI sets it.
const RequireEnv = "KEELSONTEST_REQUIRE_SERVERS"

// Run starts an agent for a test and closes it when the test ends; a test that has failed shows the agent's log. Without a binary the
// test is skipped, or fails when RequireEnv is set.
func Run(tb testing.TB, cfg Config) *Agent {
	tb.Helper()
	a, err := Start(context.Background(), cfg)
	Need(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("Consul's log:\n%s", tail(a.Log()))
		}
		if err := a.Close(); err != nil {
			tb.Error(err)
		}
	})
	return a
}

// RunCluster is [Run] for several servers.
func RunCluster(tb testing.TB, n int, cfg Config) *Cluster {
	tb.Helper()
	c, err := StartCluster(context.Background(), n, cfg)
	Need(tb, err)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("Consul's logs:\n%s", c.Log())
		}
		if err := c.Close(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// Need skips the test when the error of a start says that there is no Consul here and CI does not insist, and fails it for every error.
func Need(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv(RequireEnv) != "1" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
}
