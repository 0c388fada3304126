package balancer_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // client-side health checks

	"github.com/keelson-dev/keelson/balancer"
)

// The policy is named in a connection's service config.
func Example() {
	entry, err := balancer.Config{Policy: balancer.RoundRobin, Zone: "eu-1a"}.JSON()
	if err != nil {
		fmt.Println(err)
		return
	}
	config := fmt.Sprintf(`{"loadBalancingConfig": [%s], "healthCheckConfig": {"serviceName": ""}}`, entry)
	conn, err := grpc.NewClient("dns:///user:8080", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(config))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	fmt.Println(config)
	// Output: {"loadBalancingConfig": [{"keelson":{"policy":"round_robin","zone":"eu-1a"}}], "healthCheckConfig": {"serviceName": ""}}
}

// Before it dials, a program makes sure that health checks are linked in.
func ExampleCheckHealth() {
	fmt.Println(balancer.CheckHealth(context.Background()))
	// Output: <nil>
}
