package errs

import "google.golang.org/grpc/codes"

// The reasons that the chassis itself gives, in the domain of the service that
// answers. They are API: [Reasons] and docs/errors.md list them.
const (
	ReasonCallerGone                  = "CALLER_GONE"
	ReasonDeadlineExceeded            = "DEADLINE_EXCEEDED"
	ReasonDraining                    = "DRAINING"
	ReasonCircuitOpen                 = "CIRCUIT_OPEN"
	ReasonRateLimited                 = "RATE_LIMITED"
	ReasonOverloaded                  = "OVERLOADED"
	ReasonNoReadyInstance             = "NO_READY_INSTANCE"
	ReasonMethodUnknown               = "METHOD_UNKNOWN"
	ReasonStreamIdle                  = "STREAM_IDLE"
	ReasonInvalidRequest              = "INVALID_REQUEST"
	ReasonMalformedMessage            = "MALFORMED_MESSAGE"
	ReasonMessageCount                = "MESSAGE_COUNT"
	ReasonRequestTooLarge             = "REQUEST_TOO_LARGE"
	ReasonResponseTooLarge            = "RESPONSE_TOO_LARGE"
	ReasonInternal                    = "INTERNAL"
	ReasonPanic                       = "PANIC"
	ReasonDependencyUnavailable       = "DEPENDENCY_UNAVAILABLE"
	ReasonDependencyTimeout           = "DEPENDENCY_TIMEOUT"
	ReasonDependencyExhausted         = "DEPENDENCY_EXHAUSTED"
	ReasonDependencyFailed            = "DEPENDENCY_FAILED"
	ReasonConnectionLost              = "CONNECTION_LOST"
	ReasonDatabaseUnavailable         = "DATABASE_UNAVAILABLE"
	ReasonDatabaseExhausted           = "DATABASE_EXHAUSTED"
	ReasonDatabaseConflict            = "DATABASE_CONFLICT"
	ReasonDatabaseDeadlock            = "DATABASE_DEADLOCK"
	ReasonDatabaseLockTimeout         = "DATABASE_LOCK_TIMEOUT"
	ReasonDatabaseStatementCanceled   = "DATABASE_STATEMENT_CANCELED"
	ReasonDatabaseUniqueViolation     = "DATABASE_UNIQUE_VIOLATION"
	ReasonDatabaseConstraintViolation = "DATABASE_CONSTRAINT_VIOLATION"
)

// ReasonDoc documents a reason.
type ReasonDoc struct {
	Reason  string     // as in ErrorInfo
	Code    codes.Code // with which it comes
	Meaning string     // what happened
	Action  string     // what a caller does
}

// Reasons returns what is known about each reason that the chassis gives, in
// the order of docs/errors.md.
func Reasons() []ReasonDoc {
	return append(callReasons(), databaseReasons()...)
}

func callReasons() []ReasonDoc {
	return []ReasonDoc{
		{ReasonCallerGone, codes.Canceled, "The caller ended the call before the answer.", "Nothing: nobody waits for it."},
		{ReasonDeadlineExceeded, codes.DeadlineExceeded, "The call's deadline passed; the message says how long it was and who set it, where that is known.", "Ask for less or allow more time; retry only what is idempotent."},
		{ReasonDraining, codes.Unavailable, "The instance is going away and ended the stream in order.", "Open the stream again, on another instance, with the metadata key `resume_token` if there is one."},
		{ReasonCircuitOpen, codes.Unavailable, "A breaker of the client holds the call back because too many of its kind fail; the metadata `breaker` names it. Nothing was sent.", "Retry after RetryInfo."},
		{ReasonRateLimited, codes.ResourceExhausted, "The caller or the method used up its calls per time; QuotaFailure names which.", "Wait for RetryInfo, then retry."},
		{ReasonOverloaded, codes.Unavailable, "The instance has more work than it can do and refused this call before starting it.", "Retry after RetryInfo, on another instance."},
		{ReasonNoReadyInstance, codes.Unavailable, "A stream could not be opened: no instance of the target took it in time.", "Open it again, with backoff; see whether instances are registered and ready."},
		{ReasonMethodUnknown, codes.Unimplemented, "The server has no method of this name.", "Correct the name; gRPC reflection lists the methods."},
		{ReasonStreamIdle, codes.Aborted, "No message went either way for longer than the method's idle timeout.", "Open the stream again; ask for progress messages or send more often."},
		{ReasonInvalidRequest, codes.InvalidArgument, "The request breaks rules of its proto; BadRequest has each field, rule and what would be right.", "Correct the request."},
		{ReasonMalformedMessage, codes.InvalidArgument, "What the caller sent is no message: bytes that do not decode or decompress, or a frame that is none. One that is compressed although the header names no compression is INTERNAL, as gRPC has it.", "Correct the client; are both ends made of the same .proto?"},
		{ReasonMessageCount, codes.Unimplemented, "A method that takes one message was sent none, or several.", "Correct the client."},
		{ReasonRequestTooLarge, codes.ResourceExhausted, "A message of the caller is larger than the receiver takes, or the sender sends; the metadata `max_bytes` says how large it may be.", "Do not retry: send less at once, or use a stream."},
		{ReasonResponseTooLarge, codes.ResourceExhausted, "The answer is larger than the caller's client takes; the metadata `max_bytes` says how large it may be.", "Do not retry: ask for less at once (a smaller page), or raise `client.max_receive`."},
		{ReasonInternal, codes.Internal, "An error that nobody expected; the cause is in the service's log under the correlation ID of RequestInfo.", "Report it with the correlation ID."},
		{ReasonPanic, codes.Internal, "The handler panicked; the stack is in the service's log.", "Report it with the correlation ID."},
		{ReasonDependencyUnavailable, codes.Unavailable, "A service that this one calls cannot be reached.", "Retry what is idempotent, with backoff."},
		{ReasonDependencyTimeout, codes.DeadlineExceeded, "A service that this one calls did not answer in time.", "As for DEADLINE_EXCEEDED."},
		{ReasonDependencyExhausted, codes.ResourceExhausted, "A service that this one calls refuses more work for now.", "Wait for RetryInfo, then retry."},
		{ReasonDependencyFailed, codes.Internal, "A service that this one calls answered with an error that is not the caller's business.", "Report it with the correlation ID."},
		{ReasonConnectionLost, codes.Unavailable, "A network connection that the call needed was refused or broke.", "Retry what is idempotent, after RetryInfo."},
	}
}

func databaseReasons() []ReasonDoc {
	return []ReasonDoc{
		{ReasonDatabaseUnavailable, codes.Unavailable, "The database cannot be reached, is starting, stopping or read-only.", "Retry what is idempotent, after RetryInfo."},
		{ReasonDatabaseExhausted, codes.Unavailable, "The database is out of connections, memory or disk.", "Retry what is idempotent, after RetryInfo."},
		{ReasonDatabaseConflict, codes.Aborted, "Two transactions were not serialisable and this one lost; nothing was changed.", "Read again and start over, after RetryInfo."},
		{ReasonDatabaseDeadlock, codes.Aborted, "Two transactions waited for each other and this one was chosen to end; nothing was changed.", "Start over, after RetryInfo."},
		{ReasonDatabaseLockTimeout, codes.Aborted, "A row stayed locked for too long; nothing was changed.", "Start over, after RetryInfo."},
		{ReasonDatabaseStatementCanceled, codes.DeadlineExceeded, "The database ended a statement that took too long.", "Ask for less; retry only what is idempotent."},
		{ReasonDatabaseUniqueViolation, codes.AlreadyExists, "Something with the same unique value is there already.", "Choose another value, or read what is there."},
		{ReasonDatabaseConstraintViolation, codes.FailedPrecondition, "The change would break a constraint between records.", "Change what refers to it first."},
	}
}
