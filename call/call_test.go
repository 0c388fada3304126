package call_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

func TestTheRecordIsFoundInEveryContextDerivedFromIt(t *testing.T) {
	outer := &call.Call{Context: context.Background(), CorrelationID: "outer"}
	ctx, cancel := context.WithTimeout(context.WithValue(outer, "k", "v"), time.Hour) //nolint:staticcheck // any key will do
	defer cancel()
	if got := call.From(ctx); got != outer {
		t.Errorf("found %v", got)
	}
	inner := &call.Call{Context: ctx, CorrelationID: "inner"}
	if got := call.From(inner); got != inner {
		t.Error("the innermost record is not the one found")
	}
	if got := call.CorrelationID(inner); got != "inner" {
		t.Errorf("correlation ID %q", got)
	}
	if inner.Value("k") != "v" {
		t.Error("values of the wrapped context are lost")
	}
	if call.From(context.Background()) != nil || call.CorrelationID(context.Background()) != "" {
		t.Error("found a record outside a call")
	}
}

func TestCancellationPassesThroughTheRecord(t *testing.T) {
	parent, cancel := context.WithCancelCause(context.Background())
	child, stop := context.WithCancel(&call.Call{Context: parent})
	defer stop()
	cause := errors.New("gone")
	cancel(cause)
	<-child.Done()
	if !errors.Is(context.Cause(child), cause) {
		t.Errorf("cause %v", context.Cause(child))
	}
}

func TestEndWritesTheOutcome(t *testing.T) {
	start := time.Unix(100, 0)
	ctx, cancel := context.WithDeadline(context.Background(), start.Add(time.Second))
	defer cancel()
	c := &call.Call{Context: ctx, Start: start}
	c.End(codes.NotFound, errors.New("x"), start.Add(300*time.Millisecond))
	if c.Code != codes.NotFound || c.Failure == nil || c.Duration != 300*time.Millisecond {
		t.Errorf("got %v %v %v", c.Code, c.Failure, c.Duration)
	}
	if left, ok := c.DeadlineLeft(start.Add(300 * time.Millisecond)); !ok || left != 700*time.Millisecond {
		t.Errorf("left %v %v", left, ok)
	}
	if _, ok := (&call.Call{Context: context.Background()}).DeadlineLeft(start); ok {
		t.Error("a call without a deadline has one")
	}
}

func TestValidCorrelationID(t *testing.T) {
	for id, want := range map[string]bool{
		"": false, "a": true, "0b7c.A-z_9:/+=": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false,
		"a b": false, "a\nb": false, "é": false, `a"b`: false, "a\x00": false,
	} {
		if got := call.ValidCorrelationID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
	seen := map[string]bool{}
	for range 1000 {
		id := call.NewCorrelationID()
		if len(id) != 26 || !call.ValidCorrelationID(id) || seen[id] {
			t.Fatalf("made %q", id)
		}
		seen[id] = true
	}
}

func TestFindingTheRecordDoesNotAllocate(t *testing.T) {
	var ctx context.Context = &call.Call{Context: context.Background(), Method: &policy.Method{}}
	if n := testing.AllocsPerRun(100, func() { _ = call.From(ctx) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func ExampleFrom() {
	ctx := context.Context(&call.Call{Context: context.Background(), Side: call.Server, CorrelationID: "order-17"})
	fmt.Println(call.From(ctx).Side, call.CorrelationID(ctx))
	// Output: server order-17
}
