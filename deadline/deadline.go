// Package deadline gives every call a deadline and says, when one passes, how
// long it was and who set it.
//
// The method's policy is both the default and the maximum: a call without a
// deadline gets it, one that asks for more is capped, one that asks for less
// keeps its own. A policy of zero bounds nothing, which is the default of
// streams.
package deadline

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// SourceCaller is the source of a deadline that the caller chose.
const SourceCaller = "caller"

// slack is how much more than the policy a caller may ask for before it counts
// as more: both ends apply the same policy, with clocks that never agree.
const slack = 5 * time.Millisecond

// lead is how much earlier than this end's clock the other end may find that
// the same deadline has passed, and say so first.
const lead = 50 * time.Millisecond

// Begin bounds a call by its method's policy and writes into the record how
// long it may take and who said so. The returned function releases the timer
// and is nil when none was needed, so that a call that came with a short enough
// deadline costs nothing.
func Begin(c *call.Call) context.CancelFunc {
	e := c.Method.Effective()
	deadline, has := c.Deadline()
	if has {
		c.Timeout, c.TimeoutSource = deadline.Sub(c.Start), SourceCaller
	}
	if e.Timeout <= 0 || has && c.Timeout <= e.Timeout+slack {
		return nil
	}
	c.Timeout, c.TimeoutSource, c.Capped = e.Timeout, e.Source(policy.FieldTimeout), true
	ctx, cancel := context.WithDeadline(c.Context, c.Start.Add(e.Timeout))
	c.Context = ctx
	return cancel
}

// Late returns the error of a call whose deadline had passed when this end heard of
// it: nobody waits for an answer. It is nil for every other call, and for one that
// [Begin] was not told of.
func Late(c *call.Call) error {
	if c.TimeoutSource != SourceCaller || c.Timeout > 0 {
		return nil
	}
	return errs.DeadlineExceeded(errs.ReasonDeadlineExceeded, "the deadline of %s passed before the call began", c.Method.FullName)
}

// Explain returns the error of a call whose deadline passed as DEADLINE_EXCEEDED
// with the deadline's length and source, in its text and in the metadata
// deadline and deadline_source. The client's end says it for every deadline;
// the server's where its own cap fired, since otherwise the caller knows better.
// What more is known about it is added to the text.
// Every other error is returned as it is.
func Explain(c *call.Call, err error, more ...string) error {
	if !caused(c, err) {
		return err
	}
	end := "the " + c.Side.String() + "'s "
	if c.TimeoutSource == SourceCaller {
		end = "the "
	}
	length := c.Timeout.Round(time.Millisecond).String()
	return errs.DeadlineExceeded(errs.ReasonDeadlineExceeded,
		"%s took longer than %s, set by %s%s%s", c.Method.FullName, length, end, c.TimeoutSource, strings.Join(more, "")).
		With(errs.Meta("deadline", length), errs.Meta("deadline_source", c.TimeoutSource), errs.Meta("deadline_side", c.Side.String()), errs.Cause(err))
}

// caused tells whether the deadline known to this end ended the call.
func caused(c *call.Call, err error) bool {
	if err == nil || c.Timeout == 0 || c.Side == call.Server && !c.Capped {
		return false
	}
	if !errors.Is(err, context.DeadlineExceeded) && errs.Code(err) != codes.DeadlineExceeded {
		return false
	}
	left, ok := c.DeadlineLeft(time.Now())
	return ok && left <= lead
}
