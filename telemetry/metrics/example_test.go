package metrics_test

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/metrics"
)

func Example() {
	registry := prometheus.NewRegistry()
	m, err := metrics.New(registry, metrics.Config{Side: call.Server})
	if err != nil {
		fmt.Println(err)
		return
	}
	table := policy.NewTable(policy.Linked()...)
	server := grpc.NewServer(
		grpc.ChainUnaryInterceptor(m.UnaryServer(table)),
		grpc.ChainStreamInterceptor(m.StreamServer(table)),
	)
	defer server.Stop()

	m.Begin(&call.Call{Method: table.Unknown()})
	started, err := testutil.GatherAndCount(registry, "grpc_server_started_total")
	fmt.Println(started, err)
	// Output: 1 <nil>
}
