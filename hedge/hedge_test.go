package hedge_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/policy"
)

const (
	shop = "file:///shop"
	get  = "/shop.v1.Shop/Get" // no side effects
	put  = "/shop.v1.Shop/Put" // idempotent, switched on
	buy  = "/shop.v1.Shop/Buy" // neither
)

// methods returns a table of the three methods.
func methods(t testing.TB, overrides ...policy.Override) *policy.Table {
	t.Helper()
	table := policy.NewTable()
	table.AddMethod("shop.v1.Shop", "Get", policy.Unary).Idempotency = policy.NoSideEffects
	table.AddMethod("shop.v1.Shop", "Put", policy.Unary).Idempotency = policy.Idempotent
	table.AddMethod("shop.v1.Shop", "Buy", policy.Unary)
	if err := table.Apply(policy.Defaults{}, append([]policy.Override{{Method: put, Hedge: policy.On}}, overrides...)); err != nil {
		t.Fatal(err)
	}
	return table
}

// client is a hedger and what calls go through it.
type client struct {
	t      testing.TB
	table  *policy.Table
	hedger *hedge.Hedger
	reg    *prometheus.Registry
}

func newClient(t testing.TB, overrides ...policy.Override) *client {
	t.Helper()
	reg := prometheus.NewRegistry()
	return &client{t, methods(t, overrides...), hedge.New(reg), reg}
}

func (c *client) method(name string) *hedge.Method { return c.hedger.For(shop, c.table.Lookup(name)) }

// attempt is what one attempt does: it takes so long, and then answers.
type attempt struct {
	after time.Duration
	value string
	err   error
}

// hangs is an attempt that never ends by itself.
var hangs = attempt{after: 1000 * time.Hour}

// run makes the attempts of one call, in their order, and notes what they see.
type run struct {
	attempts []attempt
	sent     atomic.Int32
	canceled atomic.Int32
	records  sync.Map
	returned atomic.Bool
	late     func() // told of an attempt that begins after the call has returned
}

func (r *run) invoke(ctx context.Context, _ string, _, reply any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
	c := call.From(ctx)
	r.records.Store(c, true)
	if r.returned.Load() && r.late != nil {
		r.late()
	}
	n := c.Attempts.Add(1)
	r.sent.Store(n)
	a := r.attempts[n-1]
	message, _ := reply.(*wrapperspb.StringValue)
	select {
	case <-time.After(a.after):
		if message != nil {
			message.Value = a.value
		}
		return a.err
	case <-ctx.Done():
		r.canceled.Add(1)
		if message != nil {
			message.Value = "half an answer"
		}
		return status.FromContextError(ctx.Err()).Err()
	}
}

// call makes a call with a deadline (zero: none), and returns its answer and how
// long it took.
func (c *client) call(name string, timeout time.Duration, r *run, opts ...grpc.CallOption) (string, time.Duration, error) {
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	start := time.Now()
	record := &call.Call{Context: ctx, Method: c.table.Lookup(name), Side: call.Client, Start: start}
	reply := &wrapperspb.StringValue{}
	err := c.method(name).Invoke(record, name, &wrapperspb.StringValue{}, reply, nil, r.invoke, opts...)
	r.returned.Store(true)
	return reply.GetValue(), time.Since(start), err
}

// warm makes the usual latency of a method known.
func (c *client) warm(name string, took time.Duration) {
	for range 64 {
		_, _, _ = c.call(name, 0, &run{attempts: []attempt{{after: took}, hangs}})
	}
}

// hedges returns the counters of hedges, won, lost and failed.
func (c *client) hedges(name string) (s string) {
	c.t.Helper()
	families, err := c.reg.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "keelson_hedges_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if n := m.GetCounter().GetValue(); m.GetLabel()[0].GetValue() == name && n > 0 {
				s += fmt.Sprint(m.GetLabel()[1].GetValue(), n, " ")
			}
		}
	}
	return strings.TrimSpace(s)
}

const ms = time.Millisecond

var (
	errDown    = status.Error(codes.Unavailable, "down")
	errMissing = status.Error(codes.NotFound, "no such thing")
	errBusy    = status.Error(codes.ResourceExhausted, "too much")
)

func TestTheAttemptWhoseAnswerCounts(t *testing.T) {
	late := attempt{after: 50 * ms, value: "first"}
	for name, tc := range map[string]struct {
		method        string
		first, second attempt
		value         string
		code          codes.Code
		took          time.Duration
		result        string
	}{
		"the first is quick":                  {get, attempt{after: 5 * ms, value: "first"}, hangs, "first", codes.OK, 5 * ms, ""},
		"the first fails before the delay":    {get, attempt{5 * ms, "", errDown}, hangs, "", codes.Unavailable, 5 * ms, ""},
		"the first hangs":                     {get, hangs, attempt{5 * ms, "second", nil}, "second", codes.OK, 15 * ms, "won1"},
		"the first is late, the second later": {get, late, attempt{80 * ms, "second", nil}, "first", codes.OK, 50 * ms, "lost1"},
		"the second is missing it":            {get, late, attempt{5 * ms, "", errMissing}, "half an answer", codes.NotFound, 15 * ms, "won1"},
		"a write's second is missing it":      {put, late, attempt{5 * ms, "", errMissing}, "first", codes.OK, 50 * ms, "lost1"},
		"a write's second alone":              {put, attempt{50 * ms, "", errDown}, attempt{5 * ms, "", errMissing}, "", codes.NotFound, 50 * ms, "won1"},
		"a write's first is missing it":       {put, attempt{50 * ms, "", errMissing}, attempt{80 * ms, "second", nil}, "second", codes.OK, 90 * ms, "won1"},
		"the first is missing it":             {get, attempt{50 * ms, "", errMissing}, attempt{80 * ms, "second", nil}, "", codes.NotFound, 50 * ms, "lost1"},
		"the second fails":                    {get, late, attempt{5 * ms, "", errDown}, "first", codes.OK, 50 * ms, "failed1"},
		"the second may not":                  {get, late, attempt{5 * ms, "", errBusy}, "first", codes.OK, 50 * ms, "failed1"},
		"the first fails after the delay":     {get, attempt{50 * ms, "", errDown}, attempt{80 * ms, "second", nil}, "second", codes.OK, 90 * ms, "won1"},
		"both fail":                           {get, attempt{50 * ms, "", errBusy}, attempt{80 * ms, "", errDown}, "", codes.ResourceExhausted, 90 * ms, "failed1"},
		"both fail, the second first":         {get, attempt{50 * ms, "", errBusy}, attempt{20 * ms, "", errDown}, "", codes.ResourceExhausted, 50 * ms, "failed1"},
		"both hang":                           {get, hangs, hangs, "half an answer", codes.DeadlineExceeded, time.Second, "failed1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, policy.Override{Method: get, HedgeDelay: 10 * ms}, policy.Override{Method: put, HedgeDelay: 10 * ms})
				r := &run{attempts: []attempt{tc.first, tc.second}}
				value, took, err := c.call(tc.method, time.Second, r)
				if value != tc.value || status.Code(err) != tc.code || took != tc.took {
					t.Errorf("answered %q, %v after %s", value, err, took)
				}
				if got := c.hedges(tc.method); got != tc.result {
					t.Errorf("counted %q, not %q", got, tc.result)
				}
				n := 0
				r.records.Range(func(any, any) bool { n++; return true })
				if n != 1 {
					t.Errorf("the attempts saw %d records", n)
				}
			})
		})
	}
}

func TestWhatIsNotHedged(t *testing.T) {
	for name, tc := range map[string]struct {
		method   string
		override policy.Override
		timeout  time.Duration
		opts     []grpc.CallOption
	}{
		"what has side effects":    {buy, policy.Override{Method: buy, Timeout: time.Minute}, 0, nil},
		"what policy switched off": {get, policy.Override{Method: get, Hedge: policy.Off}, 0, nil},
		"what its options exclude": {get, policy.Override{Method: get, HedgeDelay: ms}, 0, []grpc.CallOption{grpc.WaitForReady(true), hedge.Without()}},
		"what has too little time": {get, policy.Override{Method: get, HedgeDelay: 900 * ms}, time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, tc.override)
				c.warm(tc.method, 150*ms)
				before := c.hedges(tc.method)
				r := &run{attempts: []attempt{{after: 990 * ms, value: "first"}, hangs}}
				if value, _, err := c.call(tc.method, tc.timeout, r, tc.opts...); value != "first" || err != nil || r.sent.Load() != 1 {
					t.Errorf("answered %q, %v by %d attempts", value, err, r.sent.Load())
				}
				if got := c.hedges(tc.method); got != before {
					t.Errorf("counted %q", got)
				}
			})
		})
	}
	t.Run("what is no message", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t)
			r := &run{attempts: []attempt{{after: time.Minute}, hangs}}
			ctx := &call.Call{Context: t.Context(), Method: c.table.Lookup(get)}
			if err := c.method(get).Invoke(ctx, get, nil, new([]byte), nil, r.invoke); err != nil || r.sent.Load() != 1 {
				t.Errorf("%v by %d attempts", err, r.sent.Load())
			}
		})
	})
}

func TestTheDelayIsTheMethodsOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		override policy.Override
		usual    time.Duration
		timeout  time.Duration
		from, to time.Duration
	}{
		"nothing known":                 {policy.Override{Method: get}, 0, 10 * time.Second, 100 * ms, 100 * ms},
		"nothing known and no deadline": {policy.Override{Method: get}, 0, 0, 100 * ms, 100 * ms},
		"nothing known and little time": {policy.Override{Method: get}, 0, 80 * ms, 20 * ms, 20 * ms},
		"known":                         {policy.Override{Method: get}, 40 * ms, time.Second, 40 * ms, 51 * ms},
		"quick":                         {policy.Override{Method: get}, 200 * time.Microsecond, time.Second, 5 * ms, 5 * ms},
		"set":                           {policy.Override{Method: get, HedgeDelay: 70 * ms}, 40 * ms, time.Second, 70 * ms, 70 * ms},
		"set to less than the least":    {policy.Override{Method: get, HedgeDelay: ms}, 0, time.Second, ms, ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, tc.override)
				if tc.usual > 0 {
					c.warm(get, tc.usual)
				}
				_, took, err := c.call(get, tc.timeout, &run{attempts: []attempt{hangs, {after: 0}}})
				if err != nil || took < tc.from || took > tc.to {
					t.Errorf("hedged after %s, %v; not within %s to %s", took, err, tc.from, tc.to)
				}
			})
		})
	}
}

func TestCallsWithTooLittleTimeTellHowLongTheyTake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		c.warm(get, 400*ms)
		for range 2000 { // quick again, and nobody has the time for a hedge
			_, _, _ = c.call(get, 300*ms, &run{attempts: []attempt{{after: 20 * ms}}})
		}
		if got := c.method(get).Delay(); got > 30*ms {
			t.Errorf("%s", got)
		}
	})
}

func TestACallersCancelEndsBothAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		r := &run{attempts: []attempt{hangs, hangs}}
		record := &call.Call{Context: ctx, Method: c.table.Lookup(get)}
		err := c.method(get).Invoke(record, get, nil, &wrapperspb.StringValue{}, nil, r.invoke)
		if status.Code(err) != codes.Canceled || r.canceled.Load() != 2 {
			t.Errorf("%v, %d attempts cancelled", err, r.canceled.Load())
		}
	})
}

func TestAPanicOfTheHedgeIsItsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		r := &run{attempts: []attempt{{after: time.Second, value: "first"}}} // the second one panics: there is none
		if value, _, err := c.call(get, 0, r); value != "first" || err != nil {
			t.Errorf("answered %q, %v", value, err)
		}
		if got := c.hedges(get); got != "failed1" {
			t.Errorf("counted %q", got)
		}
	})
}

func TestAHedgeWhoseGoroutineEndsIsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		failed := errors.New("failed")
		invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			if call.From(ctx).Attempts.Add(1) == 2 {
				runtime.Goexit()
			}
			time.Sleep(time.Second)
			return failed
		}
		record := &call.Call{Context: t.Context(), Method: c.table.Lookup(get)}
		if err := c.method(get).Invoke(record, get, nil, &wrapperspb.StringValue{}, nil, invoke); !errors.Is(err, failed) {
			t.Errorf("answered %v, want what the first attempt said", err)
		}
	})
}

func TestAPanicOfTheFirstAttemptEndsTheHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		var ended atomic.Bool
		invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			if call.From(ctx).Attempts.Add(1) == 2 {
				<-ctx.Done()
				ended.Store(true)
				return ctx.Err()
			}
			time.Sleep(time.Second)
			panic("boom")
		}
		defer func() {
			if r := recover(); r != "boom" || !ended.Load() {
				t.Errorf("recovered %v, the hedge had ended: %t", r, ended.Load())
			}
		}()
		record := &call.Call{Context: t.Context(), Method: c.table.Lookup(get)}
		_ = c.method(get).Invoke(record, get, nil, &wrapperspb.StringValue{}, nil, invoke)
	})
}

func TestMetricsTellOfHedges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, policy.Override{Method: put, HedgeDelay: 20 * ms}, policy.Override{Method: get, HedgeDelay: 20 * ms})
		for range 35 {
			_, _, _ = c.call(get, 0, &run{attempts: []attempt{{after: time.Second / 10}, {after: ms}}})
			_, _, _ = c.call(put, 0, &run{attempts: []attempt{{after: ms}}})
		}
		want := `
# HELP keelson_hedge_delay_seconds How long a first attempt may take before a call is hedged.
# TYPE keelson_hedge_delay_seconds gauge
keelson_hedge_delay_seconds{method="/shop.v1.Shop/Get",target="file:///shop"} 0.02
keelson_hedge_delay_seconds{method="/shop.v1.Shop/Put",target="file:///shop"} 0.02
# HELP keelson_hedges_denied_total Second attempts that were not sent because the target's budget was used up.
# TYPE keelson_hedges_denied_total counter
keelson_hedges_denied_total{method="/shop.v1.Shop/Get",target="file:///shop"} 5
keelson_hedges_denied_total{method="/shop.v1.Shop/Put",target="file:///shop"} 0
`
		if err := testutil.GatherAndCompare(c.reg, strings.NewReader(want), "keelson_hedge_delay_seconds", "keelson_hedges_denied_total"); err != nil {
			t.Error(err)
		}
		if got := c.hedges(get); got != "won30" {
			t.Errorf("counted %q", got)
		}
		c.hedger.Forget(shop)
		if n := testutil.CollectAndCount(c.reg); n != 0 {
			t.Errorf("%d series of a target that is forgotten", n)
		}
	})
}

// Two clients of one process may call the same target.
func TestAHedgerThatForgetsATargetTakesNothingFromAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, policy.Override{Method: get, HedgeDelay: 20 * ms})
		goes := hedge.New(c.reg)
		goes.For(shop, c.table.Lookup(get))
		c.method(get)
		goes.Forget(shop)
		_, _, _ = c.call(get, 0, &run{attempts: []attempt{{after: time.Second}, {after: ms}}})
		if got := c.hedges(get); got != "won1" {
			t.Errorf("counted %q", got)
		}
	})
}

// However attempts end, one answer counts, the reply is written by one attempt
// at a time, and not after the call. (The race detector looks on.)
func TestNeverMoreThanOneAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, policy.Override{Method: get, HedgeDelay: 5 * ms})
		answers := []attempt{{0, "", nil}, {0, "", errDown}, {0, "", errMissing}, hangs}
		var calls sync.WaitGroup
		for n := range 2000 {
			first, second := answers[n%4], answers[n/4%4]
			first.value, second.value = "first", "second"
			if n%4 != 3 {
				first.after = time.Duration(n/16%12) * ms
			}
			if n/4%4 != 3 {
				second.after = time.Duration(n/192%8) * ms
			}
			calls.Go(func() {
				r := &run{attempts: []attempt{first, second}, late: func() { t.Error("an attempt began after the call") }}
				value, took, err := c.call(get, 50*ms, r)
				switch {
				case err == nil && value != "first" && value != "second":
					t.Errorf("%v %v: answered %q", first, second, value)
				case err == nil && value == "first" && first.err != nil, err == nil && value == "second" && second.err != nil:
					t.Errorf("%v %v: a failed attempt's answer counted", first, second)
				case err != nil && !errors.Is(err, first.err) && !errors.Is(err, second.err) && took < 50*ms:
					t.Errorf("%v %v: nobody's error: %v", first, second, err)
				case took > 50*ms:
					t.Errorf("%v %v: took %s", first, second, took)
				}
			})
			if n%8 == 0 {
				time.Sleep(ms)
			}
		}
		calls.Wait()
	})
}

// Calls that are only a little late use up what there is for them; calls that hang
// are hedged all the same, a little later.
func TestABusyMinuteLeavesHedgesForCallsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, policy.Override{Method: get, HedgeDelay: 20 * ms})
		for range 30 {
			_, _, _ = c.call(get, 0, &run{attempts: []attempt{{after: 25 * ms}, {after: time.Second}}})
		}
		if got := c.hedges(get); got != "lost15" {
			t.Errorf("of 30 calls that were a little late: %s, want half of what may be hedged", got)
		}
		for range 15 {
			value, took, err := c.call(get, 0, &run{attempts: []attempt{{after: time.Hour}, {after: ms, value: "second"}}})
			if value != "second" || err != nil || took > 50*ms {
				t.Fatalf("a call that hangs: %q after %s, %v", value, took, err)
			}
		}
	})
}

// A call that waits for a ready instance is not hedged before it was sent.
func TestACallThatWasNotSentIsNotHedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		m := c.table.Lookup(get)
		var calls atomic.Int64
		invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			if calls.Add(1) == 1 { // ready after a second, and answered a second later
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
				call.From(ctx).Attempts.Add(1)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			return nil
		}
		start := time.Now()
		record := &call.Call{Context: t.Context(), Method: m, Side: call.Client, Start: start}
		err := hedge.New(nil, hedge.WithCountedAttempts()).For("x", m).Invoke(record, m.FullName, nil, &wrapperspb.StringValue{}, nil, invoke)
		if took := time.Since(start); err != nil || calls.Load() != 2 || took < time.Second || took > time.Second+hedge.DefaultDelay {
			t.Errorf("%d attempts, answered after %s, %v; want the hedge just after the first attempt was sent", calls.Load(), took, err)
		}
	})
}

// As when all other instances are out, or draining.
func TestAHedgeThatNobodyTakesCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		c := &client{t, methods(t, policy.Override{Method: get, HedgeDelay: 20 * ms}), hedge.New(reg, hedge.WithCountedAttempts()), reg}
		m := c.table.Lookup(get)
		alone := true
		invoke := func(ctx context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ ...grpc.CallOption) error {
			if call.IsHedge(ctx) && alone {
				return errDown // nobody to send it to
			}
			if call.From(ctx).Attempts.Add(1); call.IsHedge(ctx) {
				return nil
			}
			select {
			case <-time.After(100 * ms):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for k := range 40 {
			alone = k < 39
			record := &call.Call{Context: t.Context(), Method: m, Side: call.Client, Start: time.Now()}
			if err := c.method(get).Invoke(record, get, nil, &wrapperspb.StringValue{}, nil, invoke); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.hedges(get); got != "won1" {
			t.Errorf("counted %q", got)
		}
	})
}
