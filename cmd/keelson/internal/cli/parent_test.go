package cli

import (
	"sync/atomic"
	"testing"
)

func TestUpEndsWhenGoRunAboveItIsKilled(t *testing.T) {
	var pid atomic.Int64
	pid.Store(7)
	ctx, stop := withParent(t.Context(), true, func() int { return int(pid.Load()) })
	defer stop()
	pid.Store(1)
	<-ctx.Done()

	other, stop := withParent(t.Context(), false, func() int { return int(pid.Load()) })
	if other.Err() != nil {
		t.Error("an installed program ends with its parent, want that it does not look")
	}
	stop()
}
