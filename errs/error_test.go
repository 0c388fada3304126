package errs_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/errs"
)

func TestThereIsAConstructorForEveryCode(t *testing.T) {
	constructors := map[codes.Code]func(reason, format string, args ...any) *errs.Error{
		codes.Canceled: errs.Canceled, codes.Unknown: errs.Unknown, codes.InvalidArgument: errs.InvalidArgument,
		codes.DeadlineExceeded: errs.DeadlineExceeded, codes.NotFound: errs.NotFound, codes.AlreadyExists: errs.AlreadyExists,
		codes.PermissionDenied: errs.PermissionDenied, codes.ResourceExhausted: errs.ResourceExhausted,
		codes.FailedPrecondition: errs.FailedPrecondition, codes.Aborted: errs.Aborted, codes.OutOfRange: errs.OutOfRange,
		codes.Unimplemented: errs.Unimplemented, codes.Internal: errs.Internal, codes.Unavailable: errs.Unavailable,
		codes.DataLoss: errs.DataLoss, codes.Unauthenticated: errs.Unauthenticated,
	}
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		t.Run(errs.CodeName(c), func(t *testing.T) {
			e := constructors[c]("SOME_REASON", "user %d", 7)
			if e.Code() != c || e.Reason() != "SOME_REASON" || e.Message() != "user 7" {
				t.Errorf("got %v", e)
			}
			if status.Code(e) != c || status.Code(fmt.Errorf("do it: %w", e)) != c {
				t.Errorf("gRPC sees %v", status.Code(e))
			}
			if got, want := e.Error(), errs.CodeName(c)+" SOME_REASON: user 7"; got != want {
				t.Errorf("text %q, want %q", got, want)
			}
			st := errs.Status(e, "d", "id")
			if st.Code() != c || st.Message() != "user 7" {
				t.Errorf("leaves as %v", st)
			}
		})
	}
}

func TestReasonsAreMadeUpperSnakeCase(t *testing.T) {
	long := strings.Repeat("A", 62) + "_B"
	for in, want := range map[string]string{
		"": "", "USER_NOT_FOUND": "USER_NOT_FOUND", "user.not found": "USER_NOT_FOUND", "E2E": "E2E", "2FA": "E_2FA",
		"_X_": "X", "a__b": "A_B", "\u00e9": "E", "\xff": "E", "I_1": "I_1", long: strings.Repeat("A", 62),
	} {
		if got := errs.NotFound(in, "").Reason(); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{"", "A", "a_b", "A_", "_A", "1A", long} {
		if errs.ValidReason(bad) {
			t.Errorf("%q passes for a reason", bad)
		}
	}
}

func TestOKIsNoError(t *testing.T) {
	if got := errs.New(codes.OK, "X", "y").Code(); got != codes.Internal {
		t.Errorf("code %v", got)
	}
}

func TestWithLeavesTheOriginalAsItWas(t *testing.T) {
	base := errs.InvalidArgument("BAD", "no").With(errs.Meta("a", "1"), errs.Field("x", "R", "d"))
	one := base.With(errs.Meta("a", "2"), errs.Field("y", "R", "d"))
	two := base.With(errs.Field("z", "R", "d"))
	if base.Meta("a") != "1" || len(base.Fields()) != 1 || one.Meta("a") != "2" {
		t.Errorf("base %v, one %v", base.Metadata(), one.Metadata())
	}
	if one.Fields()[1].GetField() != "y" || two.Fields()[1].GetField() != "z" {
		t.Error("copies share their violations")
	}
	base.Fields()[0].Field = "changed"
	base.Metadata()["a"] = "changed"
	if base.Fields()[0].GetField() != "x" || base.Meta("a") != "1" {
		t.Error("a reader changed the error")
	}
}

func TestDetailsAreMergedAndComeOnceEach(t *testing.T) {
	e := errs.FailedPrecondition("X", "m").With(
		errs.Domain("d"), errs.Meta("k", "v"), errs.Field("a", "R", "1"), errs.Field("b", "R", "2"),
		errs.Precondition("STATE", "users/7", "active"), errs.Precondition("STATE", "users/8", "active"),
		errs.Quota("s", "q"), errs.Quota("s2", "q2"), errs.Resource("t", "n", "", "x"), errs.Resource("t", "users/7", "o", "d"),
		errs.RetryAfter(-time.Second), errs.RetryAfter(time.Second), nil,
		errs.Message(&errdetails.LocalizedMessage{Locale: "de", Message: "nein"}),
		errs.Message(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "c"}}}),
	)
	want := []proto.Message{
		&errdetails.ErrorInfo{Reason: "X", Domain: "d", Metadata: map[string]string{"k": "v"}},
		&errdetails.RetryInfo{RetryDelay: e.GRPCStatus().Details()[1].(*errdetails.RetryInfo).GetRetryDelay()},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "a", Reason: "R", Description: "1"}, {Field: "b", Reason: "R", Description: "2"}, {Field: "c"},
		}},
		&errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{
			{Type: "STATE", Subject: "users/7", Description: "active"}, {Type: "STATE", Subject: "users/8", Description: "active"},
		}},
		&errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "s", Description: "q"}, {Subject: "s2", Description: "q2"}}},
		&errdetails.ResourceInfo{ResourceType: "t", ResourceName: "users/7", Owner: "o", Description: "d"},
		&errdetails.LocalizedMessage{Locale: "de", Message: "nein"},
	}
	if diff := cmp.Diff(want, e.Details(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if d, ok := e.RetryAfter(); !ok || d != time.Second {
		t.Errorf("retry after %v %v", d, ok)
	}
	if len(e.Preconditions()) != 2 || len(e.Quotas()) != 2 || e.Resource().GetResourceName() != "users/7" || e.Domain() != "d" {
		t.Error("an accessor does not see what Details sees")
	}
}

func TestIsComparesCodeReasonAndTheTargetsDomain(t *testing.T) {
	e := errs.NotFound("USER_NOT_FOUND", "x").With(errs.Domain("user"), errs.Meta("a", "b"))
	for name, tc := range map[string]struct {
		target error
		want   bool
	}{
		"same code and reason":        {errs.NotFound("USER_NOT_FOUND", ""), true},
		"any reason":                  {errs.NotFound("", ""), true},
		"other reason":                {errs.NotFound("GROUP_NOT_FOUND", ""), false},
		"other code":                  {errs.Internal("USER_NOT_FOUND", ""), false},
		"same domain":                 {errs.NotFound("USER_NOT_FOUND", "").With(errs.Domain("user")), true},
		"other domain":                {errs.NotFound("USER_NOT_FOUND", "").With(errs.Domain("audit")), false},
		"an error of another package": {errors.New("x"), false},
		"a nil error":                 {(*errs.Error)(nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errors.Is(fmt.Errorf("get: %w", e), tc.target); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTheCauseIsForThisProcessOnly(t *testing.T) {
	cause := errors.New("password=hunter2")
	e := errs.Internal("X", "broken").With(errs.Cause(cause), errs.Meta("k", "v"))
	if !errors.Is(e, cause) {
		t.Error("the cause is not in the chain")
	}
	if strings.Contains(e.Error()+errs.Status(e, "d", "").String(), "hunter2") {
		t.Error("the cause leaks")
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Error("x", "error", e)
	for _, want := range []string{"error.code=INTERNAL", "error.reason=X", "error.metadata.k=v", `error.cause="password=hunter2"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log %s lacks %s", log.String(), want)
		}
	}
}

func TestANilErrorIsNoError(t *testing.T) {
	var e *errs.Error
	if e.Code() != codes.OK || e.Reason() != "" || e.Message() != "" || e.Domain() != "" || e.Meta("x") != "" || e.Metadata() != nil ||
		e.Fields() != nil || e.Preconditions() != nil || e.Quotas() != nil || e.Resource() != nil || e.Details() != nil || e.Remote() ||
		e.RequestID() != "" || e.Unwrap() != nil || e.With(errs.Meta("a", "b")) != nil || e.GRPCStatus() != nil || e.Error() != "<nil>" ||
		e.LogValue().String() != "<nil>" {
		t.Error("a method of nil says something")
	}
	if _, ok := e.RetryAfter(); ok {
		t.Error("nil wants a retry")
	}
	if errs.Status(e, "d", "id") != nil || errs.From(e) != nil || errs.From(nil) != nil || errs.Code(e) != codes.OK {
		t.Error("a typed nil became an error")
	}
}

func TestInvalidUTF8IsRepairedEverywhere(t *testing.T) {
	const bad = "a\xffb"
	e := errs.InvalidArgument("X", bad).With(errs.Domain(bad), errs.Meta(bad, bad), errs.Field(bad, bad, bad),
		errs.Precondition(bad, bad, bad), errs.Quota(bad, bad), errs.Resource(bad, bad, bad, bad))
	raw, err := proto.Marshal(errs.Status(e, bad, bad).Proto())
	if err != nil {
		t.Fatalf("the status does not marshal: %v", err)
	}
	if bytes.Contains(raw, []byte(bad)) {
		t.Error("a string was not repaired")
	}
	if got := errs.Status(status.Error(codes.NotFound, bad), "", "").Message(); got != "a\uFFFDb" {
		t.Errorf("message %q", got)
	}
}

func TestAMessageThatDoesNotMarshalIsLeftOut(t *testing.T) {
	e := errs.Internal("X", "m").With(errs.Message(wrapperspb.String("\xff")))
	if len(e.Details()) != 1 || e.Meta(errs.MetaTruncated) != "details" {
		t.Errorf("details %v", e.Details())
	}
}
