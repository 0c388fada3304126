package hedge_test

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/policy"
)

// A client of plain grpc-go that hedges what its methods' contract allows. Which
// instance a second attempt goes to, the balancer decides.
func Example() {
	table := policy.NewTable(policy.Linked()...)
	hedger := hedge.New(nil)
	conn, err := grpc.NewClient("dns:///shop.example.com:8080",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}]}`),
		grpc.WithUnaryInterceptor(hedger.UnaryClient(table)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()

	get := table.AddMethod("shop.v1.Shop", "Get", policy.Unary)
	fmt.Println(hedger.For(conn.Target(), get).Delay(), "before the first call")
	// Output: 100ms before the first call
}
