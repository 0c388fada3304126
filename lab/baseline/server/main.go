// Command server is what a team writes without a chassis: grpc-go as it is, and
// a registration in Consul by hand. It serves GetUser from memory. Its settings
// come in the variables that the lab gives to every instance.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// users answers GetUser alone.
type users struct {
	userv1.UnimplementedUserServiceServer
}

func (users) GetUser(_ context.Context, in *userv1.GetUserRequest) (*userv1.User, error) {
	return &userv1.User{Name: in.GetName()}, nil
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	address, ops := os.Getenv("KEELSON_GRPC__ADDRESS"), os.Getenv("KEELSON_OPS__ADDRESS")
	server := grpc.NewServer()
	userv1.RegisterUserServiceServer(server, users{})
	checks := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(checks, health.NewServer())
	failed := make(chan error, 2)
	var listen net.ListenConfig
	for at, s := range map[string]*grpc.Server{address: server, ops: checks} {
		l, err := listen.Listen(ctx, "tcp", at)
		if err != nil {
			return err
		}
		go func() { failed <- s.Serve(l) }()
	}
	agent, id, err := register(address, ops)
	if err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	if err := agent.ServiceDeregister(id); err != nil {
		fmt.Fprintln(os.Stderr, "server: deregister:", err)
	}
	server.GracefulStop()
	checks.Stop()
	return nil
}

// register tells Consul of the instance.
func register(address, ops string) (*api.Agent, string, error) {
	cfg := api.DefaultConfig()
	cfg.Address = os.Getenv("KEELSON_DISCOVERY__CONSUL__ADDRESS")
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, "", err
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return nil, "", err
	}
	id := "user:" + os.Getenv("KEELSON_INSTANCE_ID")
	return client.Agent(), id, client.Agent().ServiceRegister(&api.AgentServiceRegistration{
		ID: id, Name: "user", Address: host, Port: port,
		Check: &api.AgentServiceCheck{GRPC: ops, Interval: "5s", Timeout: "2s", Status: api.HealthPassing, DeregisterCriticalServiceAfter: "1m"},
	})
}
