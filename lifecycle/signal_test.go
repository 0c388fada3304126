package lifecycle_test

import (
	"context"
	"errors"
	"syscall"
	"testing"

	"github.com/keelson-dev/keelson/lifecycle"
)

func TestTheFirstSignalDrainsAndTheSecondExits(t *testing.T) {
	for _, tt := range []struct {
		second syscall.Signal
		code   int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		t.Run(tt.second.String(), func(t *testing.T) {
			codes := make(chan int, 1)
			ctx, stop := lifecycle.SignalContext(t.Context(), lifecycle.WithExit(func(code int) { codes <- code }))
			defer stop()
			kill(t, syscall.SIGTERM)
			<-ctx.Done()
			var s *lifecycle.SignalError
			if err := context.Cause(ctx); !errors.As(err, &s) || s.Signal != syscall.SIGTERM {
				t.Errorf("cause %v", err)
			}
			kill(t, tt.second)
			if code := <-codes; code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

func TestStopEndsTheContext(t *testing.T) {
	ctx, stop := lifecycle.SignalContext(t.Context())
	stop()
	stop()
	if ctx.Err() == nil {
		t.Error("the context goes on")
	}
}

func kill(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), s); err != nil {
		t.Fatal(err)
	}
}
