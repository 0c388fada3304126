package keelson_test

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/target"
)

func TestTargetsShowTheTrafficOfCallsAndOfAttempts(t *testing.T) {
	for name, tc := range map[string]struct {
		method string
		err    error
		failed uint64
		timed  uint64
	}{
		"well":                  {emptyCall, nil, 0, 1},
		"the caller's fault":    {emptyCall, status.Error(codes.NotFound, "no"), 0, 1},
		"the instance's":        {emptyCall, status.Error(codes.Internal, "no"), 1, 1},
		"a stream":              {outputCall, nil, 0, 0},
		"a stream that broke":   {outputCall, status.Error(codes.DataLoss, "no"), 1, 0},
		"a stream that drained": {outputCall, errs.Draining(""), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.start(&stub{
				empty: func(context.Context) error { return tc.err },
				output: func(*testpb.StreamingOutputCallRequest, testpb.TestService_StreamingOutputCallServer) error {
					return tc.err
				},
			})
			client, conn := f.dial()
			const calls = 3
			for range calls {
				_ = invoke(bounded(t), conn, tc.method) // tc says how it ends
			}
			state := client.Targets()[0]
			for what, traffic := range map[string]*target.Traffic{"the target": state.Traffic, "the instance": state.Instances[0].Traffic} {
				var c target.TrafficCount
				traffic.Read(&c)
				if c.Ended != calls || c.Failed != calls*tc.failed || c.Latency.Count() != calls*tc.timed {
					t.Errorf("%s has %d calls, %d errors, %d latencies", what, c.Ended, c.Failed, c.Latency.Count())
				}
			}
			if n := state.Traffic.InFlight(); n != 0 {
				t.Errorf("%d calls are in flight", n)
			}
		})
	}
}

// A breaker that was open when its target was closed must not be shown as open for ever.
func TestNothingIsShownOfTheBreakersOfClosedTargets(t *testing.T) {
	for name, end := range map[string]func(*keelson.Client, *grpc.ClientConn){
		"the connection": func(client *keelson.Client, conn *grpc.ClientConn) {
			_ = conn.Close()
			client.Targets()
		},
		"the client": func(client *keelson.Client, _ *grpc.ClientConn) { _ = client.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.start(&stub{empty: func(context.Context) error { return errSick }})
			registry := prometheus.NewRegistry()
			client, conn := f.dial(keelson.WithRegistry(registry))
			ctx := bounded(t)
			openCircuit(ctx, t, func() error { return invoke(ctx, conn, emptyCall) })
			if got := sum(t, registry, "keelson_breaker_state"); got != 2 {
				t.Fatalf("the breaker's state is %v", got)
			}
			end(client, conn)
			if got := sum(t, registry, "keelson_breaker_state"); got != 0 {
				t.Errorf("the breaker's state is %v after %s was closed", got, name)
			}
		})
	}
}
