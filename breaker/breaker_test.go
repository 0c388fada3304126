package breaker_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

const (
	shop   = "file:///shop"
	get    = "/shop.v1.Shop/Get"
	follow = "/shop.v1.Shop/Follow"
)

// client is a set of breakers and what calls go through them.
type client struct {
	t     testing.TB
	table *policy.Table
	set   *breaker.Set
}

func newClient(t testing.TB, cfg breaker.Config, opts ...breaker.Option) *client {
	t.Helper()
	table := policy.NewTable()
	table.AddMethod("shop.v1.Shop", "Get", policy.Unary)
	table.AddMethod("shop.v1.Shop", "Follow", policy.ServerStream)
	set, err := breaker.New(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, table, set}
}

func (c *client) breaker(method string) *breaker.Breaker {
	return c.set.For(shop, c.table.Lookup(method))
}

// begin begins a call with a deadline; zero is none.
func (c *client) begin(method string, timeout time.Duration) (*breaker.Pass, error) {
	r := &call.Call{Context: context.Background(), Method: c.table.Lookup(method), Side: call.Client, Start: time.Now(), Timeout: timeout}
	p := &breaker.Pass{}
	return p, c.breaker(method).Begin(r, p)
}

// call makes a call that takes no time, and returns whether it was let through.
func (c *client) call(err error) bool {
	p, refused := c.begin(get, 0)
	if refused != nil {
		return false
	}
	p.End(err)
	return true
}

// calls makes n calls that end so.
func (c *client) calls(n int, err error) {
	for range n {
		c.call(err)
	}
}

func (c *client) expect(method string, want breaker.State) {
	c.t.Helper()
	if got := c.breaker(method).State(); got != want {
		c.t.Errorf("the breaker is %s, not %s", got, want)
	}
}

// pause lets the clock of a synctest bubble go on.
func pause(d time.Duration) { <-time.After(d) }

// wait lets the time go by after which an open breaker lets a call through.
func (c *client) wait(method string) {
	for _, s := range c.set.Snapshot() {
		if s.Method == method && !s.NextProbe.IsZero() {
			pause(time.Until(s.NextProbe))
		}
	}
}

var errDown = status.Error(codes.Unavailable, "down")

func TestABreakerOpensWhenHalfOfTheCallsFail(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  breaker.Config
		do   func(c *client)
		want breaker.State
	}{
		"too few calls":        {do: func(c *client) { c.calls(19, errDown) }, want: breaker.Closed},
		"enough calls":         {do: func(c *client) { c.calls(20, errDown) }, want: breaker.Open},
		"just half":            {do: func(c *client) { c.calls(50, nil); c.calls(50, errDown) }, want: breaker.Open},
		"less than half":       {do: func(c *client) { c.calls(50, nil); c.calls(49, errDown) }, want: breaker.Closed},
		"a burst in much good": {do: func(c *client) { c.calls(1000, nil); c.calls(200, errDown) }, want: breaker.Closed},
		"of one instance in 3": {do: func(c *client) {
			for range 500 {
				c.calls(2, nil)
				c.call(errDown)
			}
		}, want: breaker.Closed}, //nolint:gofmt // a table
		"too few failures":  {cfg: breaker.Config{MinCalls: 2, FailureRatio: .1}, do: func(c *client) { c.calls(9, errDown) }, want: breaker.Closed},
		"another ratio":     {cfg: breaker.Config{FailureRatio: .9}, do: func(c *client) { c.calls(20, nil); c.calls(100, errDown) }, want: breaker.Closed},
		"after the window":  {do: func(c *client) { c.calls(19, errDown); time.Sleep(12 * time.Second); c.calls(19, errDown) }, want: breaker.Closed},
		"within the window": {do: func(c *client) { c.calls(10, errDown); time.Sleep(8 * time.Second); c.calls(10, errDown) }, want: breaker.Open},
		"the window slides": {do: func(c *client) { c.calls(100, nil); time.Sleep(12 * time.Second); c.calls(20, errDown) }, want: breaker.Open},
		"a shorter window":  {cfg: breaker.Config{Window: time.Second}, do: func(c *client) { c.calls(100, nil); time.Sleep(2 * time.Second); c.calls(20, errDown) }, want: breaker.Open},
		"slow, and all failing": {do: func(c *client) {
			for range 100 {
				c.call(errDown)
				time.Sleep(time.Second)
			}
		}, want: breaker.Closed}, //nolint:gofmt // a table
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, tc.cfg)
				tc.do(c)
				c.expect(get, tc.want)
			})
		})
	}
}

func TestWhatCountsAsFailure(t *testing.T) {
	remote := func(e *errs.Error) error { return errs.FromWire(e.GRPCStatus().Err()) }
	for name, tc := range map[string]struct {
		err  error
		want breaker.State
	}{
		"UNAVAILABLE":          {errDown, breaker.Open},
		"INTERNAL":             {status.Error(codes.Internal, "x"), breaker.Open},
		"UNKNOWN":              {status.Error(codes.Unknown, "x"), breaker.Open},
		"DATA_LOSS":            {status.Error(codes.DataLoss, "x"), breaker.Open},
		"no status at all":     {errors.New("x"), breaker.Open},
		"no ready instance":    {errs.Unavailable(errs.ReasonNoReadyInstance, "x"), breaker.Open},
		"its dependency":       {remote(errs.Unavailable(errs.ReasonDependencyUnavailable, "x")), breaker.Open},
		"its database":         {remote(errs.Unavailable(errs.ReasonDatabaseUnavailable, "x")), breaker.Open},
		"draining":             {remote(errs.From(errs.Draining("token"))), breaker.Closed},
		"overloaded":           {remote(errs.Unavailable(errs.ReasonOverloaded, "x")), breaker.Closed},
		"a deeper breaker":     {remote(errs.Unavailable(errs.ReasonCircuitOpen, "x")), breaker.Closed},
		"CANCELED":             {status.Error(codes.Canceled, "x"), breaker.Closed},
		"the caller's context": {context.Canceled, breaker.Closed},
		"RESOURCE_EXHAUSTED":   {errs.ResourceExhausted(errs.ReasonRateLimited, "x"), breaker.Closed},
		"UNIMPLEMENTED":        {status.Error(codes.Unimplemented, "x"), breaker.Closed},
		"NOT_FOUND":            {status.Error(codes.NotFound, "x"), breaker.Closed},
		"INVALID_ARGUMENT":     {status.Error(codes.InvalidArgument, "x"), breaker.Closed},
		"ALREADY_EXISTS":       {status.Error(codes.AlreadyExists, "x"), breaker.Closed},
		"PERMISSION_DENIED":    {status.Error(codes.PermissionDenied, "x"), breaker.Closed},
		"UNAUTHENTICATED":      {status.Error(codes.Unauthenticated, "x"), breaker.Closed},
		"FAILED_PRECONDITION":  {status.Error(codes.FailedPrecondition, "x"), breaker.Closed},
		"ABORTED":              {status.Error(codes.Aborted, "x"), breaker.Closed},
		"OUT_OF_RANGE":         {status.Error(codes.OutOfRange, "x"), breaker.Closed},
		"OK":                   {nil, breaker.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, breaker.Config{})
			c.calls(100, tc.err)
			c.expect(get, tc.want)
		})
	}
}

func TestADeadlineCountsIfItWasFair(t *testing.T) {
	for name, tc := range map[string]struct {
		usual   time.Duration // how long 50 calls take before; 0: there were none
		timeout time.Duration // of 200 calls that run into it; 0: none
		want    breaker.State
	}{
		"the method's own":                     {0, policy.DefaultUnaryTimeout, breaker.Open},
		"none of ours":                         {0, 0, breaker.Open},
		"much, and nothing known":              {0, time.Second, breaker.Open},
		"little, and nothing known":            {0, 900 * time.Millisecond, breaker.Closed},
		"a millisecond":                        {10 * time.Millisecond, time.Millisecond, breaker.Closed},
		"what it usually takes":                {100 * time.Millisecond, 100 * time.Millisecond, breaker.Closed},
		"much more than it usually takes":      {100 * time.Millisecond, 400 * time.Millisecond, breaker.Open},
		"20 times what it takes, and yet tiny": {time.Millisecond, 20 * time.Millisecond, breaker.Closed},
		"50 times what it takes":               {time.Millisecond, 50 * time.Millisecond, breaker.Open},
		"a second for what takes half":         {500 * time.Millisecond, time.Second, breaker.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, breaker.Config{})
				if tc.usual > 0 {
					for range 50 {
						p, err := c.begin(get, time.Minute)
						if err != nil {
							t.Fatal(err)
						}
						time.Sleep(tc.usual)
						p.End(nil)
					}
				}
				passes := make([]*breaker.Pass, 200)
				for i := range passes {
					p, err := c.begin(get, tc.timeout)
					if err != nil {
						t.Fatal(err)
					}
					passes[i] = p
				}
				time.Sleep(tc.timeout)
				for _, p := range passes {
					p.End(status.FromContextError(context.DeadlineExceeded).Err())
				}
				c.expect(get, tc.want)
			})
		})
	}
}

func TestWithoutARecordedTimeoutTheContextsDeadlineIsJudged(t *testing.T) {
	c := newClient(t, breaker.Config{})
	for range 200 {
		start := time.Now()
		ctx, cancel := context.WithDeadline(t.Context(), start.Add(time.Millisecond))
		r := &call.Call{Context: ctx, Method: c.table.Lookup(get), Side: call.Client, Start: start}
		p := &breaker.Pass{}
		if err := c.breaker(get).Begin(r, p); err != nil {
			t.Fatal(err)
		}
		p.End(context.DeadlineExceeded)
		cancel()
	}
	c.expect(get, breaker.Closed)
}

func TestAnOpenBreakerSaysItsNameAndWhenToComeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.calls(20, errDown)
		_, err := c.begin(get, 0)
		if !errors.Is(err, errs.Unavailable(errs.ReasonCircuitOpen, "")) || status.Code(err) != codes.Unavailable {
			t.Fatalf("answered %v", err)
		}
		e := errs.From(err)
		if diff := cmp.Diff(map[string]string{"breaker": shop + " " + get}, e.Metadata()); diff != "" {
			t.Error(diff)
		}
		wait, ok := e.RetryAfter()
		if !ok || wait < 750*time.Millisecond || wait > time.Second {
			t.Errorf("retry after %s", wait)
		}
		time.Sleep(wait - time.Nanosecond)
		if c.call(nil) {
			t.Error("a call was let through before its time")
		}
		time.Sleep(time.Nanosecond)
		if !c.call(nil) {
			t.Error("a call was held back after the time that RetryInfo says")
		}
		c.expect(get, breaker.HalfOpen)
	})
}

func TestAHalfOpenBreakerLetsAFewThroughAndThenAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.calls(20, errDown)
		c.wait(get)
		var probes []*breaker.Pass
		for range 100 {
			p, err := c.begin(get, 0)
			if err == nil {
				probes = append(probes, p)
				continue
			}
			if wait, ok := errs.From(err).RetryAfter(); !ok || wait <= 0 || wait > time.Second {
				t.Fatalf("retry after %s", wait)
			}
		}
		if len(probes) != breaker.DefaultProbes {
			t.Fatalf("%d probes at once", len(probes))
		}
		for _, p := range probes {
			c.expect(get, breaker.HalfOpen)
			p.End(nil)
		}
		c.expect(get, breaker.Closed)
		for range 1000 {
			if !c.call(nil) {
				t.Fatal("not all traffic is taken back at once")
			}
		}
	})
}

func TestTheOpenTimeGrowsToItsCapAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		openTime := func() time.Duration { return time.Until(c.set.Snapshot()[0].NextProbe) }
		between := func(from, to time.Duration) {
			t.Helper()
			if got := openTime(); got < from*3/4 || got > to {
				t.Errorf("open for %s, not %s to %s", got, from*3/4, to)
			}
		}
		c.calls(20, errDown)
		between(time.Second, time.Second)
		for _, want := range []time.Duration{2 * time.Second, 3 * time.Second, 3 * time.Second, 3 * time.Second} {
			c.wait(get)
			if !c.call(errDown) {
				t.Fatal("no probe")
			}
			between(want, want)
		}
		c.wait(get)
		c.calls(3, nil)
		c.calls(100, errDown) // the same trouble again
		between(3*time.Second, 3*time.Second)
		c.wait(get)
		c.calls(3, nil)
		time.Sleep(breaker.DefaultWindow)
		c.calls(100, errDown) // new trouble
		between(time.Second, time.Second)
	})
}

func TestAClosedBreakerAllocatesNothing(t *testing.T) {
	c := newClient(t, breaker.Config{})
	b := c.breaker(get)
	r := &call.Call{Context: context.Background(), Method: c.table.Lookup(get), Start: time.Now()}
	var p *breaker.Pass
	passes := make([]breaker.Pass, 1002)
	if n := testing.AllocsPerRun(1000, func() {
		p, passes = &passes[0], passes[1:]
		if b.Begin(r, p) == nil {
			p.End(nil)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestManyCallsAtOnceKeepTheBreakerWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		var flying, most atomic.Int64 // probes
		var workers sync.WaitGroup
		for i := range 32 {
			workers.Go(func() {
				for n := range 2000 {
					p, err := c.begin(get, time.Second)
					if err != nil {
						time.Sleep(10 * time.Millisecond)
						continue
					}
					half := c.breaker(get).State() == breaker.HalfOpen
					if half {
						most.Store(max(most.Load(), flying.Add(1)))
					}
					time.Sleep(time.Duration(1+(n+i)%7) * time.Millisecond)
					if half {
						flying.Add(-1)
					}
					if n/200%2 == 0 {
						p.End(errDown)
					} else {
						p.End(nil)
					}
				}
			})
		}
		workers.Wait()
		if most.Load() > breaker.DefaultProbes {
			t.Errorf("%d probes at once", most.Load())
		}
		c.wait(get)
		c.calls(3, nil)
		c.expect(get, breaker.Closed)
	})
}
