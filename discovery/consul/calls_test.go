package consul_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
	"github.com/keelson-dev/keelson/target"
)

// member is an instance that serves, and whose check Consul runs.
type member struct {
	address string
	status  *health.Server
}

// serveMembers starts instances and keeps them registered. What calls ask is served always; what Consul asks is the test's to say.
func serveMembers(t *testing.T, d *consul.Driver, n int) []member {
	t.Helper()
	members := make([]member, n)
	for i := range members {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		must(t, err)
		server, status := grpc.NewServer(), health.NewServer()
		status.SetServingStatus("calls", healthpb.HealthCheckResponse_SERVING)
		healthpb.RegisterHealthServer(server, status)
		var served sync.WaitGroup
		served.Go(func() { _ = server.Serve(l) })
		t.Cleanup(func() {
			server.Stop()
			served.Wait()
		})
		members[i] = member{l.Addr().String(), status}
		in := discovery.Instance{Service: "user", ID: fmt.Sprintf("user-%d", i), Address: members[i].address, OpsAddress: members[i].address}
		register(t, d, in, prometheus.NewRegistry())
	}
	return members
}

// calling makes calls without a pause until the test ends, and counts those that fail.
func calling(t *testing.T, builder *discovery.Builder) (made, failed *atomic.Int64) {
	t.Helper()
	conn, err := grpc.NewClient("consul:///user", grpc.WithResolvers(builder), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`))
	must(t, err)
	made, failed = new(atomic.Int64), new(atomic.Int64)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "calls"}, grpc.WaitForReady(made.Load() == 0))
			if err != nil && ctx.Err() == nil {
				failed.Add(1)
				t.Logf("call: %v", err)
			}
			made.Add(1)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
		must(t, conn.Close())
	})
	return made, failed
}

func TestCallsGoOnWhateverConsulDoes(t *testing.T) {
	a := emptyAgent(t)
	d := newDriver(t, consul.Config{Address: a.Address(), Check: consul.CheckConfig{Interval: time.Second}})
	members := serveMembers(t, d, 3)
	w := watch(t, d, user)
	w.wants(t, "user-0=100 user-1=100 user-2=100")
	targets := target.NewRegistry()
	builder := discovery.NewResolver(d, discovery.Config{Hold: 100 * time.Millisecond}, discovery.WithTargets(targets),
		discovery.WithConfirm(func(string, target.Instance) bool { return false }))
	made, failed := calling(t, builder)
	more := func() {
		t.Helper()
		before := made.Load()
		eventually(t, func() string {
			if made.Load() < before+200 {
				return "too few calls go on"
			}
			return ""
		})
		if n := failed.Load(); n > 0 {
			t.Fatalf("%d of %d calls failed", n, made.Load())
		}
	}
	more()

	for _, m := range members { // a false alarm: they serve
		m.status.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	}
	w.wants(t, "!user-0 !user-1 !user-2")
	more()
	for _, m := range members {
		m.status.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	}
	w.wants(t, "user-0=100 user-1=100 user-2=100")
	more()

	must(t, a.Kill())
	more()
	must(t, a.RestartEmpty(t.Context()))
	more()
	w.wants(t, "user-0=100 user-1=100 user-2=100") // all are back by themselves
	more()
	serveMembersLater(t, d)
	eventually(t, func() string {
		if n := len(targets.Lookup("consul:///user").Snapshot().Instances); n != 4 {
			return fmt.Sprintf("%d instances in effect, want the new one too", n)
		}
		return ""
	})
	more()
}

// serveMembersLater adds one instance more.
func serveMembersLater(t *testing.T, d *consul.Driver) {
	t.Helper()
	ops, status := healthy(t)
	status.SetServingStatus("calls", healthpb.HealthCheckResponse_SERVING)
	in := discovery.Instance{Service: "user", ID: "user-late", Address: ops, OpsAddress: ops}
	register(t, d, in, prometheus.NewRegistry())
}
