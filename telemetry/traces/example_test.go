package traces_test

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/traces"
)

func Example() {
	tracing, err := traces.New(traces.Config{Service: "user", Ratio: 0.01})
	if err != nil {
		fmt.Println(err)
		return
	}
	table := policy.NewTable(policy.Linked()...)
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(tracing.UnaryServer(table)),
		grpc.ChainStreamInterceptor(tracing.StreamServer(table)),
	)
	defer server.Stop()

	// A call that its caller does not sample keeps its trace, and has no span.
	c := &call.Call{Method: table.Unknown(), Context: metadata.NewIncomingContext(context.Background(),
		metadata.Pairs("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"))}
	tracing.Begin(c)
	defer tracing.End(c)
	fmt.Println(c.SpanContext.TraceID(), c.SpanContext.IsSampled(), c.Span)
	// Output: 0af7651916cd43dd8448eb211c80319c false <nil>
}
