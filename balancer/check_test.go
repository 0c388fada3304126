package balancer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"

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

func TestHealthChecksThatDoNotRunAreSeen(t *testing.T) {
	err := balancer.CheckHealthWith(t.Context(), grpc.WithDisableHealthCheck())
	if err == nil || !strings.Contains(err.Error(), `import _ "google.golang.org/grpc/health"`) {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

func BenchmarkCheckHealth(b *testing.B) {
	for b.Loop() {
		if err := balancer.CheckHealth(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
