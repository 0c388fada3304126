package keelsontest

import (
	"slices"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
)

// WantViolations checks that an error refuses a request for exactly these fields:
// INVALID_ARGUMENT, [errs.ReasonInvalidRequest] of the domain, and one violation for
// each field, in any order, that says what would be right.
func WantViolations(t testing.TB, err error, domain string, fields ...string) {
	t.Helper()
	e := errs.From(err)
	if e.Code() != codes.InvalidArgument || e.Reason() != errs.ReasonInvalidRequest || e.Domain() != domain {
		t.Errorf("error is %v, reason %s of the domain %q; want that the request is refused for %q", err, e.Reason(), e.Domain(), fields)
		return
	}
	got := make([]string, 0, len(fields))
	for _, f := range e.Fields() {
		got = append(got, f.GetField())
		if f.GetDescription() == "" || f.GetReason() == "" {
			t.Errorf("nobody says what would be right for %s", f.GetField())
		}
	}
	want := slices.Sorted(slices.Values(fields))
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the request is refused for %q; want %q: %v", got, want, err)
	}
}
