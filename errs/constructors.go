package errs

import "google.golang.org/grpc/codes"

// Canceled returns an error for a call that the caller gave up (CANCELED).
// Retry: no.
func Canceled(reason, format string, args ...any) *Error {
	return New(codes.Canceled, reason, format, args...)
}

// Unknown returns an error of unknown kind (UNKNOWN); prefer a better code.
func Unknown(reason, format string, args ...any) *Error {
	return New(codes.Unknown, reason, format, args...)
}

// InvalidArgument returns an error for a request that is wrong whatever the
// state of the system (INVALID_ARGUMENT); add [Field] for each wrong field.
func InvalidArgument(reason, format string, args ...any) *Error {
	return New(codes.InvalidArgument, reason, format, args...)
}

// DeadlineExceeded returns an error for work that did not end in time
// (DEADLINE_EXCEEDED); say how long the deadline was and who set it.
func DeadlineExceeded(reason, format string, args ...any) *Error {
	return New(codes.DeadlineExceeded, reason, format, args...)
}

// NotFound returns an error for a resource that is not there (NOT_FOUND); add
// [Resource].
func NotFound(reason, format string, args ...any) *Error {
	return New(codes.NotFound, reason, format, args...)
}

// AlreadyExists returns an error for a resource that is there already
// (ALREADY_EXISTS); add [Resource].
func AlreadyExists(reason, format string, args ...any) *Error {
	return New(codes.AlreadyExists, reason, format, args...)
}

// PermissionDenied returns an error for a caller that is known and may not
// (PERMISSION_DENIED).
func PermissionDenied(reason, format string, args ...any) *Error {
	return New(codes.PermissionDenied, reason, format, args...)
}

// ResourceExhausted returns an error for a quota or a limit that is used up
// (RESOURCE_EXHAUSTED); add [Quota] and [RetryAfter].
func ResourceExhausted(reason, format string, args ...any) *Error {
	return New(codes.ResourceExhausted, reason, format, args...)
}

// FailedPrecondition returns an error for a state that must be changed first
// (FAILED_PRECONDITION); add [Precondition].
func FailedPrecondition(reason, format string, args ...any) *Error {
	return New(codes.FailedPrecondition, reason, format, args...)
}

// Aborted returns an error for a conflict between concurrent calls (ABORTED);
// the caller starts over with what it read.
func Aborted(reason, format string, args ...any) *Error {
	return New(codes.Aborted, reason, format, args...)
}

// OutOfRange returns an error for a position past what is there (OUT_OF_RANGE),
// for instance a revision that is compacted away.
func OutOfRange(reason, format string, args ...any) *Error {
	return New(codes.OutOfRange, reason, format, args...)
}

// Unimplemented returns an error for a method that this server does not have
// (UNIMPLEMENTED).
func Unimplemented(reason, format string, args ...any) *Error {
	return New(codes.Unimplemented, reason, format, args...)
}

// Internal returns an error for a broken invariant (INTERNAL). The message
// reaches the caller: an unexpected error is better returned as it is, then
// [Status] hides it.
func Internal(reason, format string, args ...any) *Error {
	return New(codes.Internal, reason, format, args...)
}

// Unavailable returns an error for a service that cannot answer now
// (UNAVAILABLE), the one code that clients retry by themselves: use it only if
// nothing was done, or the method is idempotent.
func Unavailable(reason, format string, args ...any) *Error {
	return New(codes.Unavailable, reason, format, args...)
}

// DataLoss returns an error for data that is gone or corrupt (DATA_LOSS).
func DataLoss(reason, format string, args ...any) *Error {
	return New(codes.DataLoss, reason, format, args...)
}

// Unauthenticated returns an error for a caller that is not known
// (UNAUTHENTICATED).
func Unauthenticated(reason, format string, args ...any) *Error {
	return New(codes.Unauthenticated, reason, format, args...)
}
