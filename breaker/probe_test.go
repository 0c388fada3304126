package breaker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

func TestAProbeThatNeverEndsMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.calls(20, errDown)
		for range 10 { // thirty calls that are never heard of again
			c.wait(get)
			for range 3 {
				if _, err := c.begin(get, 0); err != nil {
					t.Fatal(err)
				}
			}
			_, err := c.begin(get, 0)
			wait, _ := errs.From(err).RetryAfter()
			time.Sleep(wait)
		}
		c.expect(get, breaker.HalfOpen)
		c.calls(3, nil)
		c.expect(get, breaker.Closed)
	})
}

func TestALateProbeStillCounts(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want breaker.State
	}{"well": {nil, breaker.Closed}, "failed": {errDown, breaker.Open}, "canceled": {context.Canceled, breaker.HalfOpen}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, breaker.Config{})
				c.calls(20, errDown)
				c.wait(get)
				var late []*breaker.Pass
				for range 3 {
					p, err := c.begin(get, 0)
					if err != nil {
						t.Fatal(err)
					}
					late = append(late, p)
				}
				time.Sleep(2 * time.Second)
				if _, err := c.begin(get, 0); err != nil {
					t.Fatal("no room after two seconds")
				}
				for _, p := range late {
					p.End(tc.err)
					p.End(nil) // nothing
				}
				c.expect(get, tc.want)
			})
		})
	}
}

func TestLateProbesMakeRoomOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.calls(20, errDown)
		c.wait(get)
		begin := func(n int) (let []*breaker.Pass) {
			for range n {
				if p, err := c.begin(get, 0); err == nil {
					let = append(let, p)
				}
			}
			return let
		}
		late := begin(10)
		time.Sleep(2 * time.Second)
		room := begin(10)
		for _, p := range late {
			p.End(context.Canceled)
		}
		if more := begin(10); len(late) != 3 || len(room) != 3 || len(more) != 0 {
			t.Errorf("%d probes, %d in their place and %d more", len(late), len(room), len(more))
		}
	})
}

func TestAnAnswerOfWhoIsBusyClosesAHalfOpenBreaker(t *testing.T) {
	for _, err := range []error{
		errs.ResourceExhausted(errs.ReasonRateLimited, "x"), errs.Unavailable(errs.ReasonOverloaded, "x"), errs.Unavailable(errs.ReasonCircuitOpen, "x"),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, breaker.Config{})
			c.calls(20, errDown)
			c.wait(get)
			c.calls(3, err)
			c.expect(get, breaker.Closed)
		})
	}
}

func TestBreakersDoNotProbeInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		times := map[time.Time]bool{}
		for range 20 {
			c := newClient(t, breaker.Config{})
			c.calls(20, errDown)
			times[c.set.Snapshot()[0].NextProbe] = true
		}
		if len(times) < 10 {
			t.Errorf("20 breakers probe at %d times", len(times))
		}
	})
}

func TestTheMethodsOwnDeadlineIsFairHoweverShort(t *testing.T) {
	c := newClient(t, breaker.Config{})
	if err := c.table.Apply(policy.Defaults{}, []policy.Override{{Method: get, Timeout: 20 * time.Millisecond}}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		timeout time.Duration
		want    breaker.State
	}{{5 * time.Millisecond, breaker.Closed}, {20 * time.Millisecond, breaker.Open}} {
		for range 20 {
			if p, err := c.begin(get, tc.timeout); err == nil {
				p.End(context.DeadlineExceeded)
			}
		}
		c.expect(get, tc.want)
	}
}

func TestWhatBeganBeforeAChangeOfStateDoesNotCountAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		var old []*breaker.Pass
		for range 100 {
			p, err := c.begin(get, 0)
			if err != nil {
				t.Fatal(err)
			}
			old = append(old, p)
		}
		end := func(n int, err error) {
			for range n {
				old[0].End(err)
				old = old[1:]
			}
		}
		c.calls(20, errDown)
		end(10, nil)
		c.expect(get, breaker.Open)
		c.wait(get)
		probe, err := c.begin(get, 0)
		if err != nil {
			t.Fatal(err)
		}
		end(10, nil)
		c.expect(get, breaker.HalfOpen)
		end(10, errDown)
		c.expect(get, breaker.HalfOpen)
		probe.End(nil)
		c.calls(2, nil)
		c.expect(get, breaker.Closed)
		end(70, errDown)
		c.expect(get, breaker.Closed)
	})
}

// The promise: whatever a backend does while it is sick, calls are let through
// again within five seconds of its recovery, whenever that is.
func TestABreakerRecoversWithinFiveSecondsOfTheBackend(t *testing.T) {
	sick := map[string]func(left time.Duration) (time.Duration, error){
		"refusing":       func(time.Duration) (time.Duration, error) { return time.Millisecond, errDown },
		"hanging":        func(left time.Duration) (time.Duration, error) { return left, context.DeadlineExceeded },
		"failing slowly": func(left time.Duration) (time.Duration, error) { return left / 2, status.Error(codes.Internal, "x") },
		"deeper breakers": func(time.Duration) (time.Duration, error) {
			return time.Millisecond, errs.Unavailable(errs.ReasonCircuitOpen, "x")
		},
	}
	for name, behave := range sick {
		for _, timeout := range []time.Duration{time.Second, 10 * time.Second} {
			for outage := 3 * time.Second; outage < 40*time.Second; outage += 3700 * time.Millisecond {
				t.Run(fmt.Sprint(name, timeout, outage), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { recovers(t, behave, timeout, outage) })
				})
			}
		}
	}
}

func recovers(t *testing.T, behave func(time.Duration) (time.Duration, error), timeout, outage time.Duration) {
	t.Helper()
	c := newClient(t, breaker.Config{})
	begin := time.Now()
	from, to := begin.Add(5*time.Second), begin.Add(5*time.Second+outage)
	var lastRefused time.Time
	var calls sync.WaitGroup
	for time.Since(begin) < 20*time.Second+outage {
		pause(10 * time.Millisecond)
		p, err := c.begin(get, timeout)
		if err != nil {
			lastRefused = time.Now()
			continue
		}
		calls.Go(func() {
			if now := time.Now(); now.Before(from) || !now.Before(to) {
				pause(5 * time.Millisecond)
				p.End(nil)
				return
			}
			took, err := behave(timeout)
			pause(took)
			p.End(err)
		})
	}
	calls.Wait()
	if late := lastRefused.Sub(to); late > 5*time.Second {
		t.Errorf("calls were refused until %s after the recovery", late)
	}
}
