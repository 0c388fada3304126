package consul_test

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
)

// A client finds the instances of a service that have a tag, and starts also while the agent is away.
func Example() {
	driver, err := consul.New(consul.Config{Address: "http://127.0.0.1:8500"})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.NewClient("consul:///user?tag=v1",
		grpc.WithResolvers(discovery.NewResolver(driver, discovery.Config{CacheDir: "/var/cache/app/discovery"})),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	fmt.Println(driver, conn.Target())
	// Output: consul registry http://127.0.0.1:8500 consul:///user?tag=v1
}
