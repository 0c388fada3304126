package keelson

import (
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/ratelimit"
)

// pushBack tells gRPC's own retries (gRFC A6) what the RetryInfo of an
// UNAVAILABLE tells people: to wait for so long, or, when the deadline comes first, not to try
// again. Otherwise a caller who has to wait for a second would be back after
// 50 ms, and again, and in the end hear that its deadline passed instead of why.
func (c *serverCall) pushBack(sent error) {
	e := errs.From(sent)
	after, ok := e.RetryAfter()
	if !ok || e.Code() != codes.Unavailable {
		return
	}
	pushback := strconv.FormatInt(after.Milliseconds(), 10)
	if left, bounded := c.DeadlineLeft(time.Now()); bounded && left <= after {
		pushback = "-1"
	}
	c.SetTrailer(metadata.Pairs(ratelimit.PushbackKey, pushback))
}
