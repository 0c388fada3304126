// Package recovery turns a panic of a handler into an answer: the stack goes to
// the log, INTERNAL (reason PANIC) to the caller, and the process lives on.
//
// [Recover] is the core, for those who write their own deferred function; the
// interceptors are it and nothing else. Put them innermost, so that logs,
// metrics and traces see the call end with INTERNAL.
//
// What cannot be recovered: runtime.Goexit (t.FailNow in a handler, for
// instance) ends the goroutine whatever is deferred, and gRPC then never
// answers the call; the interceptors log it, and the caller waits for its
// deadline. A panic in a goroutine that a handler started ends the process, as
// in every Go program. Fatal errors of the runtime (a map written by two
// goroutines, out of memory) are no panics.
package recovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"

	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
)

// The keys of the log line, named by the Elastic Common Schema. They are API.
const (
	// KeyType is the Go type of the value that was panicked with.
	KeyType = "error.type"
	// KeyMessage is its text: that of an error, a string or a number. Other
	// values may be requests, whose content is never logged.
	KeyMessage = "error.message"
	// KeyStack is the stack of the goroutine, the panicking function first.
	KeyStack = "error.stack_trace"
)

// maxStack bounds a logged stack, in bytes; deep recursion makes long ones.
const maxStack = 64 << 10

// Recover logs a panic and returns the error that answers the call. It is
// called in the deferred function, so that the stack is still there, with what
// recover() returned; nil gives nil and does nothing. The context is the
// call's, whose correlation ID the answer quotes. A nil logger is off. The
// returned error wraps a value that is an error.
//
// http.ErrAbortHandler, with which code written for net/http (a reverse proxy)
// aborts on purpose, is logged as a warning without a stack.
func Recover(ctx context.Context, logger *slog.Logger, r any) error {
	if r == nil {
		return nil
	}
	cause, _ := r.(error)
	if logger != nil {
		logPanic(ctx, logger, r, errors.Is(cause, http.ErrAbortHandler))
	}
	message := "internal error"
	if id := call.CorrelationID(ctx); id != "" {
		message += "; quote the correlation ID " + id
	}
	e := errs.Internal(errs.ReasonPanic, "%s", message)
	if cause == nil {
		return e
	}
	return e.With(errs.Cause(cause))
}

func logPanic(ctx context.Context, logger *slog.Logger, r any, aborted bool) {
	attrs := make([]slog.Attr, 0, 3)
	attrs = append(attrs, slog.String(KeyType, fmt.Sprintf("%T", r)), slog.String(KeyMessage, text(r)))
	if aborted {
		logger.LogAttrs(ctx, slog.LevelWarn, "handler aborted", attrs...)
		return
	}
	logger.LogAttrs(ctx, slog.LevelError, "handler panicked", append(attrs, slog.String(KeyStack, stack()))...)
}

// text returns what may be logged of the value of a panic. It survives an Error
// method that panics itself.
func text(r any) (s string) {
	defer func() {
		if recover() != nil {
			s = "(its Error method panicked)"
		}
	}()
	switch v := r.(type) {
	case error:
		return v.Error()
	case string, bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, uintptr, float32, float64:
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("(a value of type %T)", r)
}

// stack returns the stack from the function that panicked on.
func stack() string {
	buf := make([]byte, maxStack)
	s := string(buf[:runtime.Stack(buf, false)])
	// The frames above are those of the deferred function and of this package.
	if _, below, ok := strings.Cut(s, "\npanic("); ok {
		if lines := strings.SplitN(below, "\n", 3); len(lines) == 3 {
			return lines[2]
		}
	}
	return s
}

// UnaryServer returns an interceptor that recovers unary handlers. A nil logger
// is off. It allocates nothing while nothing panics.
func UnaryServer(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (reply any, err error) {
		returned := false
		defer func() {
			if r := recover(); r != nil {
				reply, err = nil, Recover(ctx, logger, r)
			} else if !returned {
				logExit(ctx, logger)
			}
		}()
		reply, err = handler(ctx, req)
		returned = true
		return reply, err
	}
}

// StreamServer returns an interceptor that recovers streaming handlers. A nil
// logger is off.
func StreamServer(logger *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		returned := false
		defer func() {
			if r := recover(); r != nil {
				err = Recover(ss.Context(), logger, r)
			} else if !returned {
				logExit(ss.Context(), logger)
			}
		}()
		err = handler(srv, ss)
		returned = true
		return err
	}
}

// Exited logs a handler that ended its goroutine with runtime.Goexit, and returns
// the error to account for. It is called in the deferred function, like
// [Recover].
func Exited(ctx context.Context, logger *slog.Logger) error {
	logExit(ctx, logger)
	return errs.Internal(errs.ReasonPanic, "internal error").With(errs.Cause(errExited))
}

var errExited = errors.New("the handler ended its goroutine with runtime.Goexit")

// logExit tells of a handler that called runtime.Goexit: there was no panic,
// and it did not return.
func logExit(ctx context.Context, logger *slog.Logger) {
	if logger != nil {
		logger.LogAttrs(ctx, slog.LevelError, "handler ended its goroutine with runtime.Goexit; the call gets no answer", slog.String(KeyStack, stack()))
	}
}
