package keelson_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson"
)

// Whoever recovers goes on with a client that counts no call which is over.
func TestACallThatIsLeftByAPanicHasEnded(t *testing.T) {
	for name, leave := range map[string]func(){"panic": func() { panic("left") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t)
			f.start(&stub{})
			registry := prometheus.NewRegistry()
			client, conn := f.dial(keelson.WithRegistry(registry), keelson.WithClientInterceptors(
				[]grpc.UnaryClientInterceptor{func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
					leave()
					return nil
				}},
				[]grpc.StreamClientInterceptor{func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
					cs, err := open(ctx, desc, cc, method, opts...)
					leave()
					return cs, err
				}},
			))
			for _, method := range []string{emptyCall, outputCall} {
				var left sync.WaitGroup
				left.Go(func() {
					defer func() { _ = recover() }()
					_ = invoke(bounded(t), conn, method)
				})
				left.Wait()
			}
			if n := client.Targets()[0].Traffic.InFlight(); n != 0 {
				t.Errorf("%d calls are in flight", n)
			}
			for name, want := range map[string]float64{
				"grpc_client_started_total": 2, "grpc_client_handled_total": 2, "grpc_client_in_flight_calls": 0, "grpc_client_open_streams": 0,
			} {
				if got := sum(t, registry, name); got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
		})
	}
}
