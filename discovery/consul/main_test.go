package consul_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/keelson-dev/keelson/discovery/consul"
	consultest "github.com/keelson-dev/keelson/internal/testservers/consul"
)

// shared is the agent that tests use which leave it as it was.
var shared struct {
	once  sync.Once
	agent *consultest.Agent
	err   error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.agent != nil {
		if err := shared.agent.Close(); err != nil {
			println(err.Error())
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		println(err.Error())
		code = 1
	}
	os.Exit(code)
}

// emptyAgent returns the shared agent, running and with nothing registered.
func emptyAgent(t *testing.T) *consultest.Agent {
	t.Helper()
	shared.once.Do(func() { shared.agent, shared.err = consultest.Start(context.Background(), consultest.Config{}) })
	consultest.Need(t, shared.err)
	a := shared.agent
	if a.PID() == 0 {
		must(t, a.Restart(t.Context()))
	}
	must(t, a.Wipe(t.Context()))
	return a
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// healthy starts a gRPC health server that stands for the ops listeners of all instances of a test.
func healthy(t *testing.T) (address string, status *health.Server) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	server, status := grpc.NewServer(), health.NewServer()
	healthpb.RegisterHealthServer(server, status)
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Stop()
		served.Wait()
	})
	return l.Addr().String(), status
}

// checked are checks that come to a result soon.
func checked(address string) consul.CheckConfig {
	return consul.CheckConfig{Address: address, Interval: time.Second}
}

func newDriver(t *testing.T, cfg consul.Config) *consul.Driver {
	t.Helper()
	d, err := consul.New(cfg)
	must(t, err)
	return d
}
