package logs_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/logs"
)

func Example() {
	sink, err := logs.NewSink(os.Stdout, logs.SinkConfig{Pretty: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	log := logs.New(sink, logs.Config{Service: "user", Instance: "user-1"})

	table := policy.NewTable()
	c := &call.Call{
		Context: context.Background(), Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CorrelationID: "order-17",
		Method: table.AddMethod("user.v1.UserService", "GetUser", policy.Unary),
	}
	c.End(codes.OK, nil, c.Start.Add(1500*time.Microsecond))
	log.End(c)

	// Run writes while a service runs; here closing does.
	if err := sink.Close(); err != nil {
		fmt.Println(err)
	}
	// Output: 03:04:05.001 INFO  user-1     UserService/GetUser              OK                 1.5ms     corr=order-17
}

func ExampleLog_UnaryServer() {
	sink, err := logs.NewSink(os.Stdout, logs.SinkConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	log := logs.New(sink, logs.Config{Service: "user"})
	table := policy.NewTable(policy.Linked()...)
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(log.UnaryServer(table)),
		grpc.ChainStreamInterceptor(log.StreamServer(table)),
	)
	server.Stop()
	// Output:
}
