package deadline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// record is a call of a method whose policy allows a time; zero: any.
func record(t testing.TB, ctx context.Context, side call.Side, allowed time.Duration) *call.Call {
	t.Helper()
	table := policy.NewTable()
	kind := policy.Unary
	if allowed == 0 {
		kind = policy.BidiStream
	}
	m := table.AddMethod("shop.v1.Shop", "Get", kind)
	if allowed > 0 {
		if err := table.Apply(policy.Defaults{}, []policy.Override{{Method: m.FullName, Timeout: allowed}}); err != nil {
			t.Fatal(err)
		}
	}
	return &call.Call{Context: ctx, Method: m, Side: side, Start: time.Now()}
}

func TestBeginBoundsByThePolicy(t *testing.T) {
	for _, tc := range []struct {
		name          string
		asks, allowed time.Duration
		want          time.Duration
		capped        bool
		source        string
	}{
		{"nothing asked", 0, 2 * time.Second, 2 * time.Second, true, "code"},
		{"more asked", time.Minute, 2 * time.Second, 2 * time.Second, true, "code"},
		{"less asked", time.Second, 2 * time.Second, time.Second, false, deadline.SourceCaller},
		{"the same asked", 2 * time.Second, 2 * time.Second, 2 * time.Second, false, deadline.SourceCaller},
		{"unbounded, nothing asked", 0, 0, 0, false, ""},
		{"unbounded, something asked", time.Hour, 0, time.Hour, false, deadline.SourceCaller},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				if tc.asks > 0 {
					ctx, cancel = context.WithTimeout(context.Background(), tc.asks)
				}
				defer cancel()
				c := record(t, ctx, call.Server, tc.allowed)
				if release := deadline.Begin(c); release != nil {
					defer release()
				}
				left, _ := c.DeadlineLeft(c.Start)
				if left != tc.want || c.Timeout != tc.want || c.Capped != tc.capped || c.TimeoutSource != tc.source {
					t.Errorf("left %v, timeout %v, capped %v, source %q", left, c.Timeout, c.Capped, c.TimeoutSource)
				}
			})
		})
	}
}

func TestExplainNamesLengthAndSource(t *testing.T) {
	for _, tc := range []struct {
		name    string
		side    call.Side
		asks    time.Duration
		explain bool
		source  string
	}{
		{"client, its own cap", call.Client, 0, true, "code"},
		{"client, the caller's deadline", call.Client, time.Second, true, deadline.SourceCaller},
		{"server, its own cap", call.Server, 0, true, "code"},
		{"server, the caller's deadline", call.Server, time.Second, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				if tc.asks > 0 {
					ctx, cancel = context.WithTimeout(context.Background(), tc.asks)
				}
				defer cancel()
				c := record(t, ctx, tc.side, 2*time.Second)
				if release := deadline.Begin(c); release != nil {
					defer release()
				}
				<-c.Done()
				err := deadline.Explain(c, fmt.Errorf("read the row: %w", c.Err()))
				e := errs.From(err)
				if got := e.Meta("deadline_source"); got != tc.source {
					t.Errorf("source %q, want %q (%v)", got, tc.source, err)
				}
				if tc.explain && (e.Code() != codes.DeadlineExceeded || e.Meta("deadline") == "") {
					t.Errorf("got %v", err)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the cause is lost: %v", err)
				}
				if other := errors.New("other"); deadline.Explain(c, other) != other { //nolint:errorlint // the very same
					t.Error("another error was changed")
				}
			})
		})
	}
}

func TestACallWithAShortEnoughDeadlineCostsNothing(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c := record(t, ctx, call.Server, time.Minute)
	if n := testing.AllocsPerRun(100, func() { deadline.Begin(c) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func ExampleBegin() {
	m := policy.NewTable().AddMethod("shop.v1.Shop", "Get", policy.Unary)
	c := &call.Call{Context: context.Background(), Method: m, Start: time.Now()}
	if release := deadline.Begin(c); release != nil {
		defer release()
	}
	fmt.Println(c.Timeout, "from", c.TimeoutSource)
	// Output: 10s from default
}
