package breaker_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/errs"
)

// streams asks for n streams and ends each after a time, whether it was opened
// and a message came or not.
func (c *client) streams(n int, opened, answered bool, after time.Duration, err error) {
	var open []*breaker.Pass
	for range n {
		if p, refused := c.begin(follow, 0); refused == nil {
			open = append(open, p)
		}
	}
	for _, p := range open {
		if opened {
			p.Opened()
		}
		if answered {
			p.Answered()
			p.Answered()
		}
	}
	pause(after)
	for _, p := range open {
		p.End(err)
	}
}

func TestAStreamCountsByHowItOpens(t *testing.T) {
	for name, tc := range map[string]struct {
		opened   bool
		answered bool
		after    time.Duration
		err      error
		want     breaker.State
	}{
		"fails at once":             {true, false, time.Millisecond, errDown, breaker.Open},
		"no instance is ready":      {false, false, 10 * time.Second, errs.Unavailable(errs.ReasonNoReadyInstance, "x"), breaker.Open},
		"breaks after a message":    {true, true, time.Millisecond, errDown, breaker.Closed},
		"breaks after a quiet time": {true, false, 2 * time.Second, errDown, breaker.Closed},
		"ends without a message":    {true, false, time.Millisecond, nil, breaker.Closed},
		"ends in order":             {true, false, time.Millisecond, errs.Draining("token"), breaker.Closed},
		"is given up":               {true, false, time.Millisecond, status.Error(codes.Canceled, "x"), breaker.Closed},
		"was wanted for a second":   {true, false, time.Second, context.DeadlineExceeded, breaker.Closed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, breaker.Config{})
				c.streams(100, tc.opened, tc.answered, tc.after, tc.err)
				c.expect(follow, tc.want)
			})
		})
	}
}

func TestAMessageOfAUnaryCallIsNotItsEnd(t *testing.T) {
	c := newClient(t, breaker.Config{})
	for range 20 {
		p, err := c.begin(get, 0)
		if err != nil {
			t.Fatal(err)
		}
		p.Answered()
		p.End(errDown)
	}
	c.expect(get, breaker.Open)
}

func TestQuietStreamsNeverPinAHalfOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.streams(20, false, false, 0, errDown)
		c.wait(follow)
		recovery := time.Now()
		open, refused := 0, 0
		for c.breaker(follow).State() != breaker.Closed {
			if time.Since(recovery) > 5*time.Second {
				t.Fatal("the breaker has not closed")
			}
			if p, err := c.begin(follow, 0); err == nil { // and nothing ever comes
				open++
				p.Opened()
			} else {
				refused++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if open < 5 || refused == 0 {
			t.Errorf("%d quiet streams were opened meanwhile, %d not", open, refused)
		}
	})
}

func TestStreamsThatNobodyOpensDoNotCloseABreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.streams(20, false, false, 0, errDown)
		c.wait(follow)
		for range 100 { // all wait for a ready instance
			_, _ = c.begin(follow, 0)
			time.Sleep(100 * time.Millisecond)
		}
		c.expect(follow, breaker.HalfOpen)
	})
}

func TestAStreamThatFailsOpensAHalfOpenBreakerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, breaker.Config{})
		c.streams(20, false, false, 0, errDown)
		c.wait(follow)
		c.streams(1, false, false, time.Millisecond, errDown)
		c.expect(follow, breaker.Open)
		c.wait(follow)
		c.streams(3, true, true, time.Millisecond, errDown)
		c.expect(follow, breaker.Closed)
	})
}

func TestAWatchThatNothingComesThroughRecoversInTime(t *testing.T) {
	for outage := 3 * time.Second; outage < 20*time.Second; outage += 1300 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			c := newClient(t, breaker.Config{})
			begin := time.Now()
			var refused time.Time
			for time.Since(begin) < outage+15*time.Second {
				time.Sleep(20 * time.Millisecond)
				p, err := c.begin(follow, 0)
				switch {
				case err != nil:
					refused = time.Now()
				case time.Since(begin) < outage:
					p.End(errDown)
				default:
					p.Opened()
				}
			}
			if late := refused.Sub(begin.Add(outage)); late > 5*time.Second {
				t.Errorf("streams were refused until %s after the recovery", late)
			}
		})
	}
}
