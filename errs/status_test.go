package errs_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
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

// wire is what a caller's interceptor makes of what a handler of another process returned.
func wire(err error) error {
	p := errs.Status(err, "dep.example", "dep-id").Proto()
	return errs.FromWire(status.FromProto(p).Err())
}

type noStatus struct{}

func (noStatus) Error() string              { return "secret" }
func (noStatus) GRPCStatus() *status.Status { return nil }

func TestStatusMapsWhateverAHandlerReturns(t *testing.T) {
	for name, tc := range map[string]struct {
		err                     error
		code                    codes.Code
		reason, domain, message string
	}{
		"own error": {errs.NotFound("NO_USER", "no user"), codes.NotFound, "NO_USER", "me.example", "no user"},
		"own error, wrapped: the wrapping text stays inside": {
			fmt.Errorf("secret: %w", errs.NotFound("NO_USER", "no user")), codes.NotFound, "NO_USER", "me.example", "no user",
		},
		"own error, joined": {errors.Join(errors.New("secret"), errs.Aborted("A", "again")), codes.Aborted, "A", "me.example", "again"},
		"own domain":        {errs.NotFound("X", "m").With(errs.Domain("other")), codes.NotFound, "X", "other", "m"},
		"own, no reason":    {errs.PermissionDenied("", "no"), codes.PermissionDenied, "PERMISSION_DENIED", "me.example", "no"},
		"own status":        {status.Error(codes.NotFound, "no user"), codes.NotFound, "NOT_FOUND", "me.example", "no user"},
		"own status, wrapped": {
			fmt.Errorf("secret: %w", status.Error(codes.NotFound, "no user")), codes.NotFound, "NOT_FOUND", "me.example", "no user",
		},
		"own status of no known code": {status.Error(77, "x"), codes.Unknown, "UNKNOWN", "me.example", "x"},
		"unknown error":               {errors.New("secret"), codes.Internal, "INTERNAL", "me.example", "internal error; quote the correlation ID id-1"},
		"an error whose status is nil": {
			noStatus{}, codes.Internal, "INTERNAL", "me.example", "internal error; quote the correlation ID id-1",
		},
		"no rows": {sql.ErrNoRows, codes.Internal, "INTERNAL", "me.example", "internal error; quote the correlation ID id-1"},
		"caller gone": {
			fmt.Errorf("secret: %w", context.Canceled), codes.Canceled, "CALLER_GONE", "me.example", "the caller went away before the answer",
		},
		"deadline": {context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", "me.example", "the deadline passed before the answer"},
		"dependency not found": {
			wire(errs.NotFound("X", "secret")), codes.Internal, "DEPENDENCY_FAILED", "me.example", "internal error; quote the correlation ID id-1",
		},
		"dependency not found, wrapped": {
			fmt.Errorf("get: %w", wire(errs.NotFound("X", "secret"))), codes.Internal, "DEPENDENCY_FAILED", "me.example",
			"internal error; quote the correlation ID id-1",
		},
		"dependency unavailable": {wire(errs.Unavailable("BUSY", "later")), codes.Unavailable, "BUSY", "dep.example", "later"},
		"dependency too slow": {
			wire(context.DeadlineExceeded), codes.DeadlineExceeded, "DEADLINE_EXCEEDED", "dep.example", "the deadline passed before the answer",
		},
		"dependency limits us": {wire(errs.ResourceExhausted("RATE_LIMITED", "wait")), codes.ResourceExhausted, "RATE_LIMITED", "dep.example", "wait"},
		"dependency not reached: gRPC's words name addresses": {
			errs.FromWire(status.Error(codes.Unavailable, "dial tcp 10.0.0.7:1: secret")), codes.Unavailable, "DEPENDENCY_UNAVAILABLE", "me.example",
			"a dependency is unavailable",
		},
		"dependency too slow, by gRPC": {
			errs.FromWire(status.Error(codes.DeadlineExceeded, "secret")), codes.DeadlineExceeded, "DEPENDENCY_TIMEOUT", "me.example",
			"a dependency did not answer in time",
		},
		"dependency limits us, by gRPC": {
			errs.FromWire(status.Error(codes.ResourceExhausted, "secret")), codes.ResourceExhausted, "DEPENDENCY_EXHAUSTED", "me.example",
			"a dependency refuses more work for now",
		},
		"dependency's error translated on purpose": {
			errs.NotFound("NO_USER", "no user").With(errs.Cause(wire(errs.NotFound("X", "secret")))), codes.NotFound, "NO_USER", "me.example", "no user",
		},
		"dependency's error changed is still the dependency's": {
			errs.From(wire(errs.NotFound("X", "secret"))).With(errs.Meta("a", "b")), codes.Internal, "DEPENDENCY_FAILED", "me.example",
			"internal error; quote the correlation ID id-1",
		},
		"gateway":                       {errs.Verbatim(wire(errs.NotFound("X", "said"))), codes.NotFound, "X", "dep.example", "said"},
		"gateway, wrapped":              {fmt.Errorf("s: %w", errs.Verbatim(wire(errs.NotFound("X", "said")))), codes.NotFound, "X", "dep.example", "said"},
		"gateway in front of no status": {errs.Verbatim(errors.New("secret")), codes.Internal, "INTERNAL", "me.example", "internal error; quote the correlation ID id-1"},
	} {
		t.Run(name, func(t *testing.T) {
			st := errs.Status(tc.err, "me.example", "id-1")
			e := errs.From(st.Err())
			if e.Code() != tc.code || e.Reason() != tc.reason || e.Domain() != tc.domain || e.Message() != tc.message {
				t.Errorf("left as %v in %q", e, e.Domain())
			}
			if e.RequestID() == "" {
				t.Error("no RequestInfo")
			}
			if n := count[*errdetails.ErrorInfo](st); n != 1 {
				t.Errorf("%d ErrorInfo", n)
			}
			if strings.Contains(st.Proto().String(), "secret") {
				t.Errorf("leaks: %v", st)
			}
		})
	}
}

func TestTheBoundaryAsksTheClassifiersOnlyAboutWhatNobodySaid(t *testing.T) {
	errDomain := errors.New("secret")
	table := errs.Table(errs.Row{Is: errDomain, As: errs.NotFound("NO_USER", "no user")})
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"a domain error":             {fmt.Errorf("get: %w", errDomain), "NO_USER"},
		"one that the handler named": {errs.Aborted("RACE", "again").With(errs.Cause(errDomain)), "RACE"},
		"a gateway's":                {errs.Verbatim(wire(errs.DataLoss("GONE", "gone"))), "GONE"},
		"a dependency's":             {wire(errs.DataLoss("GONE", "gone")), "DEPENDENCY_FAILED"},
		"a context's":                {errors.Join(errDomain, context.Canceled), "CALLER_GONE"},
		"unknown":                    {errors.New("secret"), "INTERNAL"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := errs.Reason(errs.Status(tc.err, "d", "id", nil, table).Err()); got != tc.want {
				t.Errorf("left as %s, want %s", got, tc.want)
			}
		})
	}
}

func count[D any](st *status.Status) (n int) {
	for _, d := range st.Details() {
		if _, ok := d.(D); ok {
			n++
		}
	}
	return n
}

func TestNoErrorCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if errs.Status(nil, "d", "id") != nil {
			t.Error("nil became a status")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWithoutACorrelationIDThereIsNoRequestInfo(t *testing.T) {
	st := errs.Status(errors.New("x"), "d", "")
	if st.Message() != "internal error" || count[*errdetails.RequestInfo](st) != 0 {
		t.Errorf("left as %v", st)
	}
}

func TestWhatIsKeptOfADependency(t *testing.T) {
	dep := errs.Unavailable("BUSY", "later").With(errs.RetryAfter(time.Second), errs.Quota("s", "d"), errs.Meta("shard", "3"),
		errs.Meta(errs.MetaResumeToken, "theirs"), errs.Field("f", "R", "d"), errs.Message(&errdetails.DebugInfo{Detail: "secret"}))
	e := errs.From(errs.Status(wire(dep), "me.example", "id").Err())
	if d, ok := e.RetryAfter(); !ok || d != time.Second || len(e.Quotas()) != 1 || e.Meta("shard") != "3" {
		t.Errorf("lost: %v", e.Details())
	}
	if _, ok := errs.ResumeToken(e); ok || len(e.Fields()) > 0 || len(e.Details()) != 4 || e.RequestID() != "id" {
		t.Errorf("kept: %v", e.Details())
	}
}

func TestVerbatimKeepsEveryDetailInItsOrder(t *testing.T) {
	in, err := status.New(codes.NotFound, "said").WithDetails(wrapperspb.String("first"), &errdetails.Help{}, &errdetails.DebugInfo{Detail: "d"})
	if err != nil {
		t.Fatal(err)
	}
	out := errs.Status(errs.Verbatim(errs.FromWire(in.Err())), "gw", "id")
	if diff := cmp.Diff(in.Proto(), out.Proto(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	again := errs.Status(errs.Verbatim(out.Err()), "gw2", "id2")
	if !proto.Equal(again.Proto(), out.Proto()) {
		t.Errorf("a second gateway changed %v into %v", out, again)
	}
	if errs.Verbatim(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestDrainingCarriesTheToken(t *testing.T) {
	for _, token := range []string{"", "rev-17"} {
		err := fmt.Errorf("watch: %w", wire(errs.Draining(token)))
		got, ok := errs.ResumeToken(err)
		if got != token || ok != (token != "") {
			t.Errorf("token %q, %v", got, ok)
		}
		if !errors.Is(err, errs.Unavailable(errs.ReasonDraining, "")) {
			t.Errorf("not draining: %v", err)
		}
	}
	if _, ok := errs.ResumeToken(nil); ok {
		t.Error("no error has a token")
	}
	if _, ok := errs.ResumeToken(io.EOF); ok {
		t.Error("EOF has a token")
	}
}
