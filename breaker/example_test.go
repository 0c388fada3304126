package breaker_test

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// A client of plain grpc-go with a breaker for each method.
func Example() {
	table := policy.NewTable(policy.Linked()...)
	breakers, err := breaker.New(breaker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := grpc.NewClient("dns:///shop.example.com:8080",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(breakers.UnaryClient(table)),
		grpc.WithStreamInterceptor(breakers.StreamClient(table)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Println(len(breakers.Snapshot()), "breakers before the first call")
	// Output: 0 breakers before the first call
}

// What an interceptor of one's own does with the core.
func ExampleBreaker_Begin() {
	table := policy.NewTable()
	m := table.AddMethod("shop.v1.Shop", "Get", policy.Unary)
	breakers, err := breaker.New(breaker.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	get := breakers.For("dns:///shop", m)
	send := func() error { return status.Error(codes.Unavailable, "no connection") }

	var last error
	for range 21 {
		var pass breaker.Pass
		c := &call.Call{Context: context.Background(), Method: m, Start: time.Now()}
		if last = get.Begin(c, &pass); last != nil {
			continue
		}
		pass.End(send())
	}
	fmt.Println(get.State(), errs.Reason(last), errs.From(last).Meta("breaker"))
	// Output: open CIRCUIT_OPEN dns:///shop /shop.v1.Shop/Get
}
