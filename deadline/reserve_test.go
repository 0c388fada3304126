package deadline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/deadline"
	"github.com/keelson-dev/keelson/errs"
)

func TestReserveKeepsTimeForTheAnswer(t *testing.T) {
	for _, tc := range []struct {
		name       string
		left, kept time.Duration
	}{
		{"a tenth", time.Second, 100 * time.Millisecond},
		{"not more than is useful", 10 * time.Second, 250 * time.Millisecond},
		{"enough to be heard", 20 * time.Millisecond, 5 * time.Millisecond},
		{"nothing of next to nothing", 9 * time.Millisecond, 0},
		{"nothing without a deadline", 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				if tc.left > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.left)
					defer cancel()
				}
				inner, done := deadline.Reserve(ctx, errors.New("slow"))
				defer done()
				outer, _ := ctx.Deadline()
				got, _ := inner.Deadline()
				if kept := outer.Sub(got); kept != tc.kept {
					t.Errorf("keeps %s of %s, want %s", kept, tc.left, tc.kept)
				}
			})
		})
	}
}

func TestUnaryReserveAnswersWhileTheCallerListens(t *testing.T) {
	slow := errs.Unavailable("STORE_SLOW", "the store is slow").With(errs.RetryAfter(time.Second))
	waits := func(ctx context.Context, _ any) (any, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("read: %w", ctx.Err())
	}
	own := errs.NotFound("NOT_THERE", "not there")
	for _, tc := range []struct {
		name    string
		handler func(context.Context, any) (any, error)
		end     func(context.CancelFunc)
		want    codes.Code
		reason  string
	}{
		{"what is slow is unavailable", waits, nil, codes.Unavailable, "STORE_SLOW"},
		{"a caller who left has left", waits, func(cancel context.CancelFunc) { cancel() }, codes.Canceled, errs.ReasonCallerGone},
		{"an answer is the answer", func(context.Context, any) (any, error) { return nil, own }, nil, codes.NotFound, "NOT_THERE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if tc.end != nil {
					tc.end(cancel)
				}
				_, err := deadline.UnaryReserve(slow)(ctx, nil, nil, tc.handler)
				if e := errs.From(err); e.Code() != tc.want || e.Reason() != tc.reason {
					t.Errorf("got %v, want %s %s", err, tc.want, tc.reason)
				}
				if tc.end == nil && ctx.Err() != nil {
					t.Error("the caller's deadline has passed")
				}
			})
		})
	}
}
