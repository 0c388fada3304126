package discovery_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
	"github.com/keelson-dev/keelson/target"
)

// A client dials a service by its name in a registry; plain addresses and DNS names go through the same resolver.
func ExampleNewResolver() {
	driver, err := file.New("/run/keelson", file.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	live := target.NewRegistry()
	conn, err := grpc.NewClient("file:///user",
		grpc.WithResolvers(
			discovery.NewResolver(driver, discovery.Config{}, discovery.WithTargets(live)),
			discovery.Wrap(resolver.Get("dns"), discovery.Config{}, discovery.WithTargets(live)),
		),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	fmt.Println(conn.Target())
	// Output: file:///user
}

// A registration outlasts a registry that is away: it reports the state and tries again.
func ExampleRegistration() {
	ctx, stop := context.WithCancel(context.Background())
	away := true
	registry := stubRegistrar{
		register: func(context.Context, discovery.Instance) error {
			if away {
				away = false
				return errors.New("connection refused")
			}
			return nil
		},
		check:      func(context.Context, discovery.Instance) error { return nil },
		deregister: func(context.Context, discovery.Instance) error { return nil },
	}
	self := discovery.Instance{Service: "user", ID: discovery.NewID("user", "10.0.0.1:8080"), Address: "10.0.0.1:8080"}
	registration, err := discovery.NewRegistration(registry, self, discovery.RegistrationConfig{},
		discovery.WithOnState(func(s discovery.State, err error) {
			fmt.Println(s, err != nil)
			if s == discovery.StateRegistered {
				stop()
			}
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(registration.Run(ctx))
	// Output:
	// pending true
	// registered false
	// ended false
	// <nil>
}
