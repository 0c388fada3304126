package breaker

import (
	"errors"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
)

// What gobreaker is told of calls that did not end well.
var (
	errFailed  = errors.New("failed")
	errIgnored = errors.New("says nothing")
)

// outcome is what the end of a call says about the method.
type outcome uint8

const (
	success outcome = iota
	failure
	ignored
)

// What a deadline must allow at least for its passing to be the method's fault.
const (
	fairTimes   = 4                     // of the usual latency
	fairMinimum = 50 * time.Millisecond // whatever that is
	fairUnknown = time.Second           // as long as it is not known
	// fairSlack is how much less than the method's own timeout a call may have,
	// because both ends give the same one and clocks never agree.
	fairSlack = 5 * time.Millisecond
)

// judge says what the end of a call says about its method.
func (b *Breaker) judge(p *Pass, err error, now time.Time) outcome {
	if err == nil {
		return success
	}
	o := b.judgeError(p, errs.From(err))
	if o == failure && p.openFor(now) >= openedWell {
		return ignored
	}
	return o
}

func (b *Breaker) judgeError(p *Pass, e *errs.Error) outcome {
	alive := ignored // it is up, but that it works is not said
	if p.probe != nil {
		alive = success
	}
	switch e.Code() {
	case codes.Unavailable:
		switch e.Reason() {
		case errs.ReasonDraining:
			return ignored
		case errs.ReasonOverloaded, errs.ReasonCircuitOpen:
			return alive
		}
		return failure
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return failure
	case codes.DeadlineExceeded:
		if p.stream || !b.fair(p.call) {
			return ignored
		}
		return failure
	case codes.ResourceExhausted:
		return alive
	case codes.Canceled, codes.Unimplemented:
		return ignored
	default:
		return success
	}
}

// fair tells whether a call that ran out of time had enough of it.
func (b *Breaker) fair(c *call.Call) bool {
	budget := c.Timeout
	if budget == 0 {
		deadline, ok := c.Deadline()
		if !ok {
			return true
		}
		budget = deadline.Sub(c.Start)
	}
	if own := c.Method.Effective().Timeout; own > 0 && budget >= own-fairSlack {
		return true
	}
	usual := time.Duration(b.usual.Load())
	if usual == 0 {
		return budget >= fairUnknown
	}
	return budget >= max(fairTimes*usual, fairMinimum)
}

// learn takes how long a call took that ended well. Two at once may lose one of
// them, which changes nothing.
func (b *Breaker) learn(took time.Duration) {
	usual := b.usual.Load()
	if usual == 0 {
		b.usual.Store(max(int64(took), 1))
		return
	}
	b.usual.Store(max(usual+(int64(took)-usual)/8, 1))
}
