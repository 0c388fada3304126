package keelsontest_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

// heard keeps what a test is told, in place of failing.
type heard struct {
	testing.TB
	said string
}

func (h *heard) Helper()                           {}
func (h *heard) Errorf(format string, args ...any) { h.said += fmt.Sprintf(format, args...) + "\n" }

func TestViolationsAreCompared(t *testing.T) {
	refused := func(details ...errs.Detail) error {
		return errs.InvalidArgument(errs.ReasonInvalidRequest, "no").With(append(details, errs.Domain("of.a.test"))...)
	}
	b, a := errs.Field("b", "INVALID", "must be b"), errs.Field("a", "REQUIRED", "must be set")
	for name, tc := range map[string]struct {
		err    error
		fields []string
		want   string // of what the test is told; empty: nothing
	}{
		"the same in another order": {refused(b, a), []string{"a", "b"}, ""},
		"one more":                  {refused(b, a), []string{"a"}, `["a" "b"]; want ["a"]`},
		"one less":                  {refused(a), []string{"b", "a"}, `["a"]; want ["a" "b"]`},
		"one twice":                 {refused(a, errs.Field("a", "INVALID", "must be a")), []string{"a"}, `["a" "a"]; want ["a"]`},
		"no reason":                 {refused(errs.Field("a", "", "must be set")), []string{"a"}, "what would be right for a"},
		"no description":            {refused(errs.Field("a", "INVALID", "")), []string{"a"}, "what would be right for a"},
		"another domain":            {refused(a).(*errs.Error).With(errs.Domain("other")), []string{"a"}, `domain "other"`}, //nolint:errorlint,forcetypeassert // made here
		"another reason":            {errs.InvalidArgument("OTHER", "no").With(a, errs.Domain("of.a.test")), []string{"a"}, "reason OTHER"},
		"another error":             {errors.New("broken"), []string{"a"}, "broken"},
		"none":                      {nil, []string{"a"}, "want that the request is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			h := &heard{TB: t}
			keelsontest.WantViolations(h, tc.err, "of.a.test", tc.fields...)
			if (tc.want == "") != (h.said == "") || !strings.Contains(h.said, tc.want) {
				t.Errorf("it says %q; want %q", h.said, tc.want)
			}
		})
	}
}
