package balancer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/keelson-dev/keelson/balancer"
)

func TestHealthChecksOfThisBinaryRun(t *testing.T) {
	if err := balancer.CheckHealth(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := balancer.CheckHealth(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
}

func BenchmarkCheckHealth(b *testing.B) {
	for b.Loop() {
		if err := balancer.CheckHealth(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
