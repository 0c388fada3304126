package intercept_test

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
)

// unsampled is the context of a call as a server gets it.
func unsampled() context.Context {
	return metadata.NewIncomingContext(context.Background(), metadata.Pairs(":authority", "user", "content-type", "application/grpc",
		"user-agent", "grpc-go", call.CorrelationKey, "order-17", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"))
}

func one(context.Context) (received, sent int, err error) { return 1, 1, nil }

func TestAllOfTelemetryCostsFewAllocations(t *testing.T) {
	b, ctx := newBench(t, call.Server), unsampled()
	n := testing.AllocsPerRun(2000, func() { _ = b.fused("/t.T/Unary", ctx, one) })
	if n > 6 { // among them the record, and the correlation ID read from the metadata
		t.Errorf("%v allocations per call", n)
	}
	if err := b.sink.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkAllOfTelemetry(b *testing.B) {
	t := &bench{}
	t.init(b, call.Server, io.Discard)
	ctx, done := unsampled(), make(chan error, 1)
	go func() { done <- t.sink.Run(ctx) }()
	b.ReportAllocs()
	for b.Loop() {
		_ = t.fused("/t.T/Unary", ctx, one)
	}
	_ = t.sink.Close()
	<-done
}
