package hedge_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// fleet answers calls in a few milliseconds, but for the part of it that hangs.
type fleet struct {
	every    int                  // of so many first attempts one goes to the part that may hang
	hanging  func(time.Time) bool // nil: never
	attempts atomic.Int64
	first    atomic.Int64
}

func (f *fleet) invoke(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
	f.attempts.Add(1)
	wait := 3 * ms
	if call.From(ctx).Attempts.Add(1) == 1 && int(f.first.Add(1))%f.every == 0 && f.hanging != nil && f.hanging(time.Now()) {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// pause lets the clock of a synctest bubble go on.
func pause(d time.Duration) { <-time.After(d) }

// load makes calls at a fixed rate, and returns how many were made and lost.
func (f *fleet) load(c *client, rate int, during time.Duration) (made, lost int64) {
	var failures atomic.Int64
	var calls sync.WaitGroup
	for range int(during.Seconds() * float64(rate)) {
		pause(time.Second / time.Duration(rate))
		made++
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			record := &call.Call{Context: ctx, Method: c.table.Lookup(get), Start: time.Now()}
			if c.method(get).Invoke(record, get, nil, &wrapperspb.StringValue{}, nil, f.invoke) != nil {
				failures.Add(1)
			}
		})
	}
	calls.Wait()
	return made, failures.Load()
}

// What the budget is there for: an instance with a third of the calls hangs, and
// leaves rotation after two seconds.
func TestNoCallIsLostWhileAnInstanceHangsForTwoSeconds(t *testing.T) {
	for _, rate := range []int{3, 20, 100} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t)
			begin := time.Now()
			f := &fleet{every: 3, hanging: func(now time.Time) bool {
				since := now.Sub(begin) % (30 * time.Second)
				return since >= 15*time.Second && since < 17*time.Second
			}}
			made, lost := f.load(c, rate, 50*time.Second)
			if lost > 0 {
				t.Errorf("at %d/s: %d of %d calls were lost", rate, lost, made)
			}
			if hedges := f.attempts.Load() - made; hedges == 0 || hedges > made/10+30 {
				t.Errorf("at %d/s: %d hedges of %d calls", rate, hedges, made)
			}
		})
	}
}

func TestHedgesAreOneInTenCallsHoweverManyHang(t *testing.T) {
	for _, rate := range []int{3, 30, 100} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t)
			begin := time.Now()
			f := &fleet{every: 1, hanging: func(now time.Time) bool { return now.Sub(begin) >= 20*time.Second }}
			before, _ := f.load(c, rate, 20*time.Second)
			f.attempts.Store(0)
			made, _ := f.load(c, rate, 30*time.Second)
			hedges := f.attempts.Load() - made
			// Three windows of ten seconds, and one that two of them may share.
			if most := max(made*4/30, 3*40); hedges > most || hedges < min(made, before)/10 {
				t.Errorf("at %d/s: %d hedges of %d calls, at most %d", rate, hedges, made, most)
			}
		})
	}
}

func TestTheBudgetIsTheTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, policy.Override{Method: get, HedgeDelay: ms}, policy.Override{Method: put, HedgeDelay: ms})
		slow := func() *run { return &run{attempts: []attempt{{after: time.Second / 20}, {after: ms}}} }
		sent := func(n int, target, name string) (hedges int) {
			for range n {
				r := slow()
				record := &call.Call{Context: context.Background(), Method: c.table.Lookup(name)}
				_ = c.hedger.For(target, record.Method).Invoke(record, name, nil, &wrapperspb.StringValue{}, nil, r.invoke)
				hedges += int(r.sent.Load()) - 1
			}
			return hedges
		}
		if got := sent(50, shop, get); got != 30 {
			t.Errorf("%d of the first method", got)
		}
		if got := sent(20, shop, put); got != 0 {
			t.Errorf("%d of another method of the target", got)
		}
		if got := sent(20, "dns:///other", put); got != 20 {
			t.Errorf("%d of another target", got)
		}
		time.Sleep(10 * time.Second)
		if got := sent(50, shop, put); got != 30 {
			t.Errorf("%d ten seconds later", got)
		}
		time.Sleep(time.Hour)
		if got := sent(50, shop, put); got != 30 {
			t.Errorf("%d an hour later", got)
		}
	})
}

func TestTheBudgetHoldsUnderConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, policy.Override{Method: get, HedgeDelay: ms})
		f := &fleet{every: 1, hanging: func(time.Time) bool { return true }}
		var calls sync.WaitGroup
		for range 1000 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				_ = c.method(get).Invoke(&call.Call{Context: ctx, Method: c.table.Lookup(get)}, get, nil, &wrapperspb.StringValue{}, nil, f.invoke)
			})
		}
		calls.Wait()
		if hedges := f.attempts.Load() - 1000; hedges != 100 {
			t.Errorf("%d hedges of 1000 calls at once", hedges)
		}
	})
}
