package balancer

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/keelson-dev/keelson/target"
)

const (
	breakerWindow   = 10 * time.Second
	breakerBucket   = time.Second
	breakerInRow    = 5
	breakerAtLeast  = 10
	breakerRatio    = 0.5
	halfOpenCalls   = 2 // that must succeed
	openFor         = time.Second
	openForAtMost   = 10 * time.Second
	openForJitter   = 0.2
	openForgottenIn = 20 * time.Second // closed for so long, the next opening is short again
)

// breaker is one life of an instance's gobreaker: a closed one that may open, or a half-open one that may close or open. gobreaker's open
// time is fixed and its half-open state knows no time, so each opening ends a life, a good probe begins the next, and what is reported to
// an ended one is heard by nobody.
type breaker struct {
	two   *gobreaker.TwoStepCircuitBreaker[struct{}]
	ended atomic.Bool
}

// newBreaker begins a life, closed or half-open. row is how many failures since the last success it begins with. changed is called under
// gobreaker's lock and must not block, nor call the breaker.
func newBreaker(halfOpen bool, row int, changed func(target.BreakerState)) *breaker {
	b := &breaker{}
	opening := halfOpen
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests:  halfOpenCalls,
		Interval:     breakerWindow,
		BucketPeriod: breakerBucket,
		Timeout:      time.Nanosecond,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return opening || row >= breakerInRow || trips(c) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errNothing) },
		// gobreaker's own count of failures in a row forgets those that have left the window, and an instance that gets few calls would
		// never have enough of them in it. Called under its lock.
		IsSuccessful: func(err error) bool {
			if row++; err == nil {
				row = 0
			}
			return err == nil
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if opening || b.ended.Load() {
				return
			}
			switch to {
			case gobreaker.StateOpen:
				b.ended.Store(true) // a pick under way may still be let through as half-open, and must change nothing
				changed(target.BreakerOpen)
			case gobreaker.StateClosed:
				changed(target.BreakerClosed)
			}
		},
	})
	if halfOpen {
		if report, err := b.two.Allow(); err == nil {
			report(errBad)
		}
		opening = false
	}
	return b
}

func trips(c gobreaker.Counts) bool {
	known := c.TotalSuccesses + c.TotalFailures
	return known >= breakerAtLeast && float64(c.TotalFailures) >= breakerRatio*float64(known)
}

// openTime is how long the n-th opening in a row lasts before the first probe, n from 1.
func openTime(n int) time.Duration {
	d := openForAtMost
	if n < 5 {
		d = min(d, openFor<<max(n-1, 0))
	}
	return jitter(d)
}

func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - openForJitter + 2*openForJitter*rand.Float64()))
}
