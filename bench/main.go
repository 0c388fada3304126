// Command bench measures what the chassis costs: CPU and allocations per unary call
// and per streamed message, of the server and of the client, beside grpc-go with
// nothing on, in interleaved rounds of one run.
//
//	go -C bench run . [-rounds 7] [-duration 2s] [-json]
//	go -C bench run . -gateway
//
// The second form measures the gateway, beside direct calls of a bare server.
//
// Every server is a process of its own, so that its CPU is its own (getrusage),
// and its client is plain grpc-go for all. Where the client is measured, the server
// is plain grpc-go, and what is counted is this process: the client with what it
// takes to make load, the same for both. Ratios are of the medians; on a shared
// machine only ratios of one run mean something.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"google.golang.org/grpc/grpclog"
)

func main() {
	var (
		serve    = flag.String("serve", "", "internal: serve as this variant")
		rounds   = flag.Int("rounds", 7, "interleaved rounds; the median counts")
		duration = flag.Duration("duration", 2*time.Second, "length of one measurement")
		asJSON   = flag.Bool("json", false, "print the result as JSON")
		profile  = flag.String("cpuprofile", "", "directory for a CPU profile of each server; with -gateway, of the gateway by each protocol")
		gateway  = flag.Bool("gateway", false, "measure what a hop through the gateway costs, by each protocol")
		only     = flag.String("scenario", "", "measure only the scenario, or with -gateway the protocol, of this name")
	)
	flag.Parse()
	if *serve != "" {
		exit(serveVariant(context.Background(), *serve, *profile))
	}
	if *rounds < 1 || *duration <= 0 {
		exit(fmt.Errorf("-rounds %d and -duration %s: give at least one round, of some time", *rounds, *duration))
	}
	// The bare server has no health service, of which gRPC complains for each connection.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if *gateway {
		exit(measureGateway(ctx, os.Stdout, *rounds, *duration, *only, *profile))
	}
	report, err := measure(ctx, *rounds, *duration, *only, *profile)
	if err != nil {
		exit(err)
	}
	if *asJSON {
		exit(json.NewEncoder(os.Stdout).Encode(report))
	}
	report.print(os.Stdout)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
