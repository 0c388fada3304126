package logs

import (
	"log/slog"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
)

// levels is the level of a call's line by its code: what the server got wrong
// is an error, what it could not do for now is a warning, as is what looks like
// misuse; what the caller got wrong is the caller's.
var levels = [...]slog.Level{
	codes.OK:                 slog.LevelInfo,
	codes.Canceled:           slog.LevelInfo,
	codes.Unknown:            slog.LevelError,
	codes.InvalidArgument:    slog.LevelInfo,
	codes.DeadlineExceeded:   slog.LevelWarn,
	codes.NotFound:           slog.LevelInfo,
	codes.AlreadyExists:      slog.LevelInfo,
	codes.PermissionDenied:   slog.LevelWarn,
	codes.ResourceExhausted:  slog.LevelWarn,
	codes.FailedPrecondition: slog.LevelInfo,
	codes.Aborted:            slog.LevelInfo,
	codes.OutOfRange:         slog.LevelInfo,
	codes.Unimplemented:      slog.LevelWarn,
	codes.Internal:           slog.LevelError,
	codes.Unavailable:        slog.LevelWarn,
	codes.DataLoss:           slog.LevelError,
	codes.Unauthenticated:    slog.LevelWarn,
}

// Level returns the level of the line of a call that ended with a code. Codes
// that gRPC does not define are as UNKNOWN.
func Level(c codes.Code) slog.Level {
	if int(c) < len(levels) {
		return levels[c]
	}
	return slog.LevelError
}

// level returns the level of one call's line. Successes of a client and of
// health checks and reflection are for debugging: the server logs the first,
// and the others say nothing. A stream that a drain ended is no fault, and what a
// client sent wrong, or gave no time for, is the client's, although its code has other
// meanings too.
func level(c *call.Call) slog.Level {
	if c.Code == codes.OK {
		if c.Side == call.Client || quiet(c.Method.Service) {
			return slog.LevelDebug
		}
		return slog.LevelInfo
	}
	reason := errs.Reason(c.Failure)
	if c.Code == codes.Unavailable && reason == errs.ReasonDraining || c.Side == call.Server && sentWrong(reason) {
		return slog.LevelInfo
	}
	if c.Code == codes.DeadlineExceeded && hurried(c) {
		return slog.LevelInfo
	}
	return Level(c.Code)
}

// hurried tells whether the caller's deadline left less than half of the time that the
// method's policy gives, or any where the policy sets none: who asks for an answer
// sooner than the method's author promises one may do without it. Callers with a
// policy of their own, such as every other service, send nearly all of it.
func hurried(c *call.Call) bool {
	const caller = "caller" // deadline.SourceCaller
	e := c.Method.Effective()
	return c.TimeoutSource == caller && e != nil && (e.Timeout <= 0 || c.Timeout < e.Timeout/2)
}

// sentWrong tells whether a server says by a reason that its client sent what it
// must not.
func sentWrong(reason string) bool {
	switch reason {
	case errs.ReasonMethodUnknown, errs.ReasonMalformedMessage, errs.ReasonMessageCount, errs.ReasonRequestTooLarge:
		return true
	}
	return false
}

func quiet(service string) bool {
	switch service {
	case "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection":
		return true
	}
	return false
}
