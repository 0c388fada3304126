package hedge_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// What a call costs that is not hedged in the end, beside the call itself.
func BenchmarkACallThatAnswersInTime(b *testing.B) {
	for _, hedged := range []policy.Switch{policy.Off, policy.On} {
		b.Run("hedge="+string(hedged), func(b *testing.B) {
			c := newClient(b, policy.Override{Method: get, Hedge: hedged})
			m := c.method(get)
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			record := &call.Call{Context: ctx, Method: c.table.Lookup(get)}
			reply := &wrapperspb.StringValue{}
			invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
				_, stop := context.WithCancel(ctx) // as gRPC does
				stop()
				return nil
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Invoke(record, get, nil, reply, nil, invoke); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
