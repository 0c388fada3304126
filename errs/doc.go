// Package errs is the chassis's errors, in three layers: plain domain errors,
// infrastructure errors classified once, and the gRPC status with typed details
// that leaves the server; and the way back, from a status that came over the
// wire to an [*Error] that errors.Is and errors.As understand.
//
// A domain error is an ordinary Go error of the service's repository. One
// [Table] per service maps domain errors to *Error. Infrastructure errors
// (contexts, SQLSTATE, network) are recognised by [Classify] without knowing
// any driver. [Status] is the single exit: the server's boundary calls it once
// per failed call. [FromWire] is the single entrance: the client's interceptor
// calls it once per failed call.
//
// # What leaves a server
//
// Status looks at the error's tree (errors.Join and %w included), depth first,
// and the first row that matches decides. The text that wraps an error never
// leaves the process, only the message of the *Error or status itself.
//
//	in the chain                                  leaves as
//	--------------------------------------------  ---------------------------------------------------------------
//	nil                                           nil
//	Verbatim(err) around a status                 the same status (a gateway's pass-through)
//	*Error made in this process                   its code, message and details
//	*Error made by FromWire (a dependency's)      UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED keep code, reason,
//	                                              RetryInfo and QuotaFailure; every other code is INTERNAL DEPENDENCY_FAILED
//	another error with GRPCStatus (status.Error)  as it is
//	context.Canceled                              CANCELED CALLER_GONE
//	context.DeadlineExceeded                      DEADLINE_EXCEEDED DEADLINE_EXCEEDED
//	SQLSTATE 23505                                ALREADY_EXISTS DATABASE_UNIQUE_VIOLATION
//	SQLSTATE 23001, 23503, 23P01, 40002           FAILED_PRECONDITION DATABASE_CONSTRAINT_VIOLATION
//	SQLSTATE 40000, 40001                         ABORTED DATABASE_CONFLICT (RetryInfo)
//	SQLSTATE 40P01                                ABORTED DATABASE_DEADLOCK (RetryInfo)
//	SQLSTATE 55P03                                ABORTED DATABASE_LOCK_TIMEOUT (RetryInfo)
//	SQLSTATE 57014                                DEADLINE_EXCEEDED DATABASE_STATEMENT_CANCELED
//	SQLSTATE 53*                                  UNAVAILABLE DATABASE_EXHAUSTED (RetryInfo)
//	SQLSTATE 08*, 25006, 25P03, 40003,            UNAVAILABLE DATABASE_UNAVAILABLE (RetryInfo)
//	57P01, 57P02, 57P03, 57P05
//	driver.ErrBadConn                             UNAVAILABLE DATABASE_UNAVAILABLE (RetryInfo)
//	io.EOF, net.ErrClosed, net.Error, ECONN*, ... UNAVAILABLE CONNECTION_LOST (RetryInfo)
//	anything else (sql.ErrNoRows too)             INTERNAL INTERNAL, no text of the cause, RequestInfo
//
// Every status that leaves has exactly one ErrorInfo, a RequestInfo when the
// call has a correlation ID, every other standard detail at most once, valid
// UTF-8 only, and at most [MaxStatusSize] bytes; what had to go is named in the
// metadata key [MetaTruncated].
//
// # Own statuses and a dependency's
//
// A *Error is a dependency's if, and only if, FromWire made it: the client half
// of the chassis converts what outgoing calls return, nothing else does. A
// status error that a handler makes itself (status.Error) is therefore its own,
// and so is one that a client without the chassis's interceptor returned;
// convert the latter with FromWire. To answer with a dependency's NOT_FOUND on
// purpose, make an own error: errs.NotFound("USER_NOT_FOUND",
// "...").With(errs.Cause(err)).
//
// The package is safe for concurrent use: *Error is immutable and there is no
// other state.
package errs
