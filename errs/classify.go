package errs

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"
)

// Retry hints of classified errors: long enough for a lock or a connection to
// come free, short enough for a person who waits.
const (
	retryConflict    = 50 * time.Millisecond
	retryUnavailable = time.Second
)

// Classifier recognises errors: it returns what err is, or nil if it is none of
// its own. It must not change err, may be called by several goroutines at once,
// and must not block. A store passes one for its driver's codes (SQLite's, for
// instance), a service makes one of its domain errors with [Table].
type Classifier func(err error) *Error

// Classify recognises infrastructure errors by type and code, never by text,
// and returns nil for those it does not know. The first that matches decides:
// an *Error or a status that is in the tree already; the end of a context (a
// database error that wraps it is the context's); the given classifiers in
// order; SQLSTATE (interface{ SQLState() string }, as pgx and lib/pq have it);
// driver.ErrBadConn and the network. sql.ErrNoRows is left to the store: only
// it knows what was not found. The result has err as its cause.
//
// Drivers that do not wrap the context's error need [InContext] as well.
func Classify(err error, more ...Classifier) *Error {
	if err == nil {
		return nil
	}
	if e := inChain(err); e != nil {
		return e
	}
	return classify(err, more...)
}

func classify(err error, more ...Classifier) *Error {
	if e := contextError(err); e != nil {
		return e.With(Cause(err))
	}
	for _, c := range more {
		if c == nil {
			continue
		}
		if e := c(err); e != nil {
			return e.causedBy(err)
		}
	}
	e := sqlStateError(err)
	if e == nil {
		e = networkError(err)
	}
	if e == nil {
		return nil
	}
	return e.With(Cause(err))
}

// InContext returns err, or what ended ctx if that explains err: when ctx is
// done and err is CANCELED, DEADLINE_EXCEEDED or UNAVAILABLE, but not an *Error
// that the service made itself, err becomes the cause of CANCELED CALLER_GONE or
// of DEADLINE_EXCEEDED. Many drivers and every outgoing call report the end of
// their caller's context as an error of their own (a broken connection, SQLSTATE
// 57014, a status CANCELED). If context.Cause(ctx) is an *Error, it is the answer.
// Stores call it where they classify, with their classifiers; a server's boundary
// calls it before [Status].
func InContext(ctx context.Context, err error, more ...Classifier) error {
	if err == nil || ctx.Err() == nil || decided(err) {
		return err
	}
	switch Classify(err, more...).Code() {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
	default:
		return err
	}
	var said *Error
	if cause := context.Cause(ctx); errors.As(cause, &said) && said != nil {
		return said.causedBy(err)
	}
	return contextError(ctx.Err()).With(Cause(err))
}

// decided tells whether the service itself said what err is.
func decided(err error) bool {
	switch x := find(err).(type) { //nolint:errorlint // find has walked the tree
	case *Error:
		return !x.remote && !x.infrastructure
	case *verbatim:
		return true
	}
	return false
}

// causedBy returns e with err as its cause unless it has one.
func (e *Error) causedBy(err error) *Error {
	if e.cause != nil {
		return e
	}
	return e.With(Cause(err))
}

// infra makes an error that the chassis, not the service, gave its meaning.
func infra(c codes.Code, reason, message string, details ...Detail) *Error {
	e := New(c, reason, "%s", message).With(details...)
	e.infrastructure = true
	return e
}

func contextError(err error) *Error {
	switch {
	case errors.Is(err, context.Canceled):
		return infra(codes.Canceled, ReasonCallerGone, "the caller went away before the answer")
	case errors.Is(err, context.DeadlineExceeded):
		return infra(codes.DeadlineExceeded, ReasonDeadlineExceeded, "the deadline passed before the answer")
	}
	return nil
}

// sqlStateError maps the SQLSTATE classes of PostgreSQL (appendix A of its
// manual), which largely are those of ISO 9075.
func sqlStateError(err error) *Error {
	var coded interface{ SQLState() string }
	if !errors.As(err, &coded) {
		return nil
	}
	state := coded.SQLState()
	switch state {
	case "23505":
		return infra(codes.AlreadyExists, ReasonDatabaseUniqueViolation, "something with the same unique value exists already")
	case "23001", "23503", "23P01", "40002":
		return infra(codes.FailedPrecondition, ReasonDatabaseConstraintViolation, "the change would break a constraint between records")
	case "40000", "40001":
		return infra(codes.Aborted, ReasonDatabaseConflict, "the transaction lost against a concurrent one; start over", RetryAfter(retryConflict))
	case "40P01":
		return infra(codes.Aborted, ReasonDatabaseDeadlock, "the transaction was in a deadlock; start over", RetryAfter(retryConflict))
	case "55P03":
		return infra(codes.Aborted, ReasonDatabaseLockTimeout, "a record stayed locked for too long; start over", RetryAfter(retryConflict))
	case "57014":
		return infra(codes.DeadlineExceeded, ReasonDatabaseStatementCanceled, "the database ended a statement that took too long")
	case "25006", "25P03", "40003", "57P01", "57P02", "57P03", "57P05":
		return databaseAway()
	}
	if len(state) != 5 {
		return nil
	}
	switch state[:2] {
	case "08":
		return databaseAway()
	case "53":
		return infra(codes.Unavailable, ReasonDatabaseExhausted, "the database has no resources left for now", RetryAfter(retryUnavailable))
	}
	return nil
}

func databaseAway() *Error {
	return infra(codes.Unavailable, ReasonDatabaseUnavailable, "the database is not available", RetryAfter(retryUnavailable))
}

func networkError(err error) *Error {
	if errors.Is(err, driver.ErrBadConn) {
		return databaseAway()
	}
	if !connectionLost(err) {
		return nil
	}
	return infra(codes.Unavailable, ReasonConnectionLost, "a connection that the call needs was refused or lost", RetryAfter(retryUnavailable))
}

func connectionLost(err error) bool {
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed} {
		if errors.Is(err, known) {
			return true
		}
	}
	var errno syscall.Errno
	if errors.As(err, &errno) { // before net.Error, which every errno is: also that of a full disk
		switch errno {
		case syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
			syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.ENOTCONN:
			return true
		}
		return false
	}
	var netErr net.Error
	return errors.As(err, &netErr)
}
