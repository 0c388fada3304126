package errs_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
)

// sqlError is what drivers return: a code, perhaps a cause, and text that must not leave.
type sqlError struct {
	state string
	cause error
}

func (e *sqlError) Error() string    { return "secret" }
func (e *sqlError) SQLState() string { return e.state }
func (e *sqlError) Unwrap() error    { return e.cause }

func TestClassifySQLState(t *testing.T) {
	for _, tc := range []struct {
		state  string
		code   codes.Code // OK: not classified
		reason string
		retry  bool
	}{
		{"23505", codes.AlreadyExists, "DATABASE_UNIQUE_VIOLATION", false},
		{"23503", codes.FailedPrecondition, "DATABASE_CONSTRAINT_VIOLATION", false},
		{"23001", codes.FailedPrecondition, "DATABASE_CONSTRAINT_VIOLATION", false},
		{"23P01", codes.FailedPrecondition, "DATABASE_CONSTRAINT_VIOLATION", false},
		{"40002", codes.FailedPrecondition, "DATABASE_CONSTRAINT_VIOLATION", false},
		{"40000", codes.Aborted, "DATABASE_CONFLICT", true},
		{"40001", codes.Aborted, "DATABASE_CONFLICT", true},
		{"40P01", codes.Aborted, "DATABASE_DEADLOCK", true},
		{"55P03", codes.Aborted, "DATABASE_LOCK_TIMEOUT", true},
		{"57014", codes.DeadlineExceeded, "DATABASE_STATEMENT_CANCELED", false},
		{"08000", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"08006", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"08P01", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"25006", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"25P03", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"40003", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"57P01", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"57P02", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"57P03", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"57P05", codes.Unavailable, "DATABASE_UNAVAILABLE", true},
		{"53000", codes.Unavailable, "DATABASE_EXHAUSTED", true},
		{"53100", codes.Unavailable, "DATABASE_EXHAUSTED", true},
		{"53300", codes.Unavailable, "DATABASE_EXHAUSTED", true},
		{"22001", codes.OK, "", false}, // the service should have validated
		{"23502", codes.OK, "", false},
		{"28P01", codes.OK, "", false},
		{"42P01", codes.OK, "", false},
		{"57P04", codes.OK, "", false},
		{"XX000", codes.OK, "", false},
		{"08", codes.OK, "", false},
		{"", codes.OK, "", false},
	} {
		t.Run("state "+tc.state, func(t *testing.T) {
			in := &sqlError{state: tc.state}
			e := errs.Classify(fmt.Errorf("insert user: %w", in))
			if e.Code() != tc.code || e.Reason() != tc.reason {
				t.Errorf("became %v", e)
			}
			if _, retry := e.RetryAfter(); retry != tc.retry {
				t.Errorf("RetryInfo: %v", retry)
			}
			if e != nil && !errors.Is(e, in) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestClassifyConnectionsAndContexts(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, tc := range map[string]struct {
		err    error
		code   codes.Code
		reason string
	}{
		"caller gone":                {context.Canceled, codes.Canceled, "CALLER_GONE"},
		"deadline":                   {context.DeadlineExceeded, codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		"database, caller gone":      {&sqlError{"57014", context.Canceled}, codes.Canceled, "CALLER_GONE"},
		"database, deadline":         {&sqlError{"08006", context.DeadlineExceeded}, codes.DeadlineExceeded, "DEADLINE_EXCEEDED"},
		"bad connection":             {driver.ErrBadConn, codes.Unavailable, "DATABASE_UNAVAILABLE"},
		"refused":                    {refused, codes.Unavailable, "CONNECTION_LOST"},
		"bare errno":                 {syscall.ECONNRESET, codes.Unavailable, "CONNECTION_LOST"},
		"broken pipe":                {fmt.Errorf("write: %w", syscall.EPIPE), codes.Unavailable, "CONNECTION_LOST"},
		"end of file":                {io.EOF, codes.Unavailable, "CONNECTION_LOST"},
		"unexpected end":             {io.ErrUnexpectedEOF, codes.Unavailable, "CONNECTION_LOST"},
		"closed":                     {net.ErrClosed, codes.Unavailable, "CONNECTION_LOST"},
		"name not resolved":          {&net.DNSError{Err: "no such host"}, codes.Unavailable, "CONNECTION_LOST"},
		"i/o timeout":                {os.ErrDeadlineExceeded, codes.Unavailable, "CONNECTION_LOST"},
		"a file that is not there":   {os.ErrNotExist, codes.OK, ""},
		"disk full":                  {syscall.ENOSPC, codes.OK, ""},
		"no rows":                    {sql.ErrNoRows, codes.OK, ""},
		"anything":                   {errors.New("x"), codes.OK, ""},
		"nil":                        {nil, codes.OK, ""},
		"what is an *Error already":  {fmt.Errorf("w: %w", errs.NotFound("X", "m")), codes.NotFound, "X"},
		"what is a status already":   {status.Error(codes.NotFound, "m"), codes.NotFound, ""},
		"*Error caused by a context": {errs.NotFound("X", "m").With(errs.Cause(context.Canceled)), codes.NotFound, "X"},
	} {
		t.Run(name, func(t *testing.T) {
			if e := errs.Classify(tc.err); e.Code() != tc.code || e.Reason() != tc.reason {
				t.Errorf("became %v", e)
			}
		})
	}
}

type missing struct{ name string }

func (m *missing) Error() string { return m.name + " is missing" }

func TestTableMapsDomainErrors(t *testing.T) {
	errTaken, errBusy := errors.New("taken"), errors.New("busy")
	table := errs.Table(
		errs.Row{Is: errTaken, As: errs.AlreadyExists("EMAIL_TAKEN", "the e-mail is taken")},
		errs.Row{Is: errBusy, Func: func(err error) *errs.Error { return errs.Aborted("BUSY", "%d", len(err.Error())) }},
		errs.RowOf(func(m *missing) *errs.Error { return errs.NotFound("USER_NOT_FOUND", "no %s", m.name) }),
		errs.Row{},
	)
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"by value":        {fmt.Errorf("create: %w", errTaken), "ALREADY_EXISTS EMAIL_TAKEN: the e-mail is taken"},
		"by function":     {errBusy, "ABORTED BUSY: 4"},
		"by type":         {fmt.Errorf("get: %w", &missing{"users/7"}), "NOT_FOUND USER_NOT_FOUND: no users/7"},
		"not in it":       {errors.New("x"), "<nil>"},
		"context first":   {errors.Join(errTaken, context.Canceled), "CANCELED CALLER_GONE: the caller went away before the answer"},
		"before SQLSTATE": {errors.Join(&sqlError{state: "23505"}, errTaken), "ALREADY_EXISTS EMAIL_TAKEN: the e-mail is taken"},
	} {
		t.Run(name, func(t *testing.T) {
			e := errs.Classify(tc.err, nil, table)
			if got := e.Error(); got != tc.want {
				t.Errorf("became %s, want %s", got, tc.want)
			}
			if e != nil && !errors.Is(e, tc.err) {
				t.Error("the domain error is lost")
			}
		})
	}
}

func TestWhatHappensBecauseTheContextEndedIsTheContexts(t *testing.T) {
	live := context.Background()
	gone, cancel := context.WithCancel(live)
	cancel()
	said := errs.DeadlineExceeded("DEADLINE_EXCEEDED", "2s, set by the method's policy")
	capped, stop := context.WithCancelCause(live)
	stop(said)
	late, done := context.WithTimeout(live, -1)
	defer done()

	errInterrupted := errors.New("interrupted")
	store := errs.Table(errs.Row{Is: errInterrupted, As: errs.Unavailable("STORE_INTERRUPTED", "")})
	for name, tc := range map[string]struct {
		ctx  context.Context
		err  error
		want error // nil: unchanged
	}{
		"still alive":              {live, driver.ErrBadConn, nil},
		"no error":                 {gone, nil, nil},
		"connection broken by it":  {gone, driver.ErrBadConn, errs.Canceled("CALLER_GONE", "")},
		"statement canceled by it": {gone, &sqlError{state: "57014"}, errs.Canceled("CALLER_GONE", "")},
		"classified before":        {gone, errs.Classify(&sqlError{state: "57014"}), errs.Canceled("CALLER_GONE", "")},
		"deadline":                 {late, &sqlError{state: "57014"}, errs.DeadlineExceeded("DEADLINE_EXCEEDED", "")},
		"an outgoing call":         {gone, errs.FromWire(status.Error(codes.Canceled, "context canceled")), errs.Canceled("CALLER_GONE", "")},
		"gRPC's stream":            {late, status.Error(codes.Canceled, "context canceled"), errs.DeadlineExceeded("DEADLINE_EXCEEDED", "")},
		"the cause says more":      {capped, context.Canceled, said},
		"an own decision":          {gone, errs.Unavailable("CLOSED", "we are closed"), nil},
		"an own status":            {gone, status.Error(codes.NotFound, "no"), nil},
		"known to a classifier":    {gone, errInterrupted, errs.Canceled("CALLER_GONE", "")},
		"a lost transaction":       {gone, &sqlError{state: "40001"}, nil},
		"a bug":                    {gone, errors.New("nil map"), nil},
		"a gateway's":              {gone, errs.Verbatim(status.Error(codes.Unavailable, "x")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := errs.InContext(tc.ctx, tc.err, store)
			if tc.want == nil {
				if got != tc.err { //nolint:errorlint // the very same
					t.Errorf("became %v", got)
				}
				return
			}
			if !errors.Is(got, tc.want) || !errors.Is(got, tc.err) {
				t.Errorf("became %v", got)
			}
		})
	}
}
