package internal_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// BenchmarkForwarding is one unary call through the gateway, and without it.
func BenchmarkForwarding(b *testing.B) {
	f := newFake(b, echo)
	g := described1(b, f)
	for name, conn := range map[string]*grpc.ClientConn{"direct": f.connect(b), "through the gateway": g.ClientConn} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var reply wrapperspb.StringValue
				if err := conn.Invoke(context.Background(), readMethod, wrapperspb.String("x"), &reply); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
