package errs

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Error is an error with a canonical code, a machine-readable reason and typed
// details (AIP-193). It is immutable and safe for concurrent use; [Error.With]
// returns a changed copy. A nil *Error is "no error" everywhere in this
// package, so that a typed nil in an error interface is no trap.
type Error struct {
	code    codes.Code
	message string
	reason  string
	domain  string
	meta    map[string]string

	request  *errdetails.RequestInfo
	retry    time.Duration
	hasRetry bool
	fields   []*errdetails.BadRequest_FieldViolation
	precond  []*errdetails.PreconditionFailure_Violation
	quota    []*errdetails.QuotaFailure_Violation
	resource *errdetails.ResourceInfo
	extra    []*anypb.Any // every other type, known here or not, in its order

	cause          error
	remote         bool           // made by FromWire
	infrastructure bool           // made by Classify
	wire           *status.Status // what it was parsed from, as long as nothing was changed
}

// New returns an error with a code, a reason and a message in developer's
// English, formatted as by fmt.Sprintf (go vet checks it). The message must
// hold no secrets and no internals: it is what the caller reads. Dynamic parts
// belong in [Meta] as well.
//
// A reason is UPPER_SNAKE_CASE of at most 63 characters, unique in its domain;
// anything else is made so ("user.not found" becomes USER_NOT_FOUND). An empty
// reason leaves as the code's name, and as a target of errors.Is matches any
// reason. codes.OK is no error and becomes INTERNAL.
func New(code codes.Code, reason, format string, args ...any) *Error {
	if code == codes.OK {
		code = codes.Internal
	}
	return &Error{code: code, reason: normalReason(reason), message: valid(fmt.Sprintf(format, args...))}
}

// With returns a copy of e with the details added. Violations of the same kind
// are merged into one detail; of a detail that may be there only once, the last
// one given wins.
func (e *Error) With(details ...Detail) *Error {
	if e == nil {
		return nil
	}
	c := *e
	c.wire = nil
	c.meta = maps.Clone(e.meta)
	c.fields = slices.Clip(e.fields)
	c.precond = slices.Clip(e.precond)
	c.quota = slices.Clip(e.quota)
	c.extra = slices.Clip(e.extra)
	for _, d := range details {
		if d != nil {
			d.apply(&c)
		}
	}
	return &c
}

// Error returns code, reason and message. The cause is not part of it, so that
// it cannot leak into a status; [Error.LogValue] has it.
func (e *Error) Error() string {
	if e == nil {
		return "<nil>"
	}
	var b strings.Builder
	b.WriteString(CodeName(e.code))
	if e.reason != "" {
		b.WriteString(" " + e.reason)
	}
	if e.message != "" {
		b.WriteString(": " + e.message)
	}
	return b.String()
}

// LogValue gives slog the code, the reason, the message, the metadata and the
// text of the cause, for logs on the side that made the error.
func (e *Error) LogValue() slog.Value {
	if e == nil {
		return slog.StringValue("<nil>")
	}
	attrs := []slog.Attr{slog.String("code", CodeName(e.code)), slog.String("reason", e.reason), slog.String("message", e.message)}
	for _, k := range slices.Sorted(maps.Keys(e.meta)) {
		attrs = append(attrs, slog.String("metadata."+k, e.meta[k]))
	}
	if e.cause != nil && e.wire == nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// Unwrap returns the cause, or nil. For an error made by [FromWire] it is the
// error that gRPC returned.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.cause
}

// Is makes errors.Is compare two *Error by code and reason, and by domain if
// the target has one. A target without a reason matches any reason.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error) //nolint:errorlint // errors.Is calls this once for each error of the chain
	if !ok || e == nil || t == nil {
		return ok && e == t
	}
	return e.code == t.code && (t.reason == "" || t.reason == e.reason) && (t.domain == "" || t.domain == e.domain)
}

// GRPCStatus returns the error as a status, with the details and under the cap
// of [MaxStatusSize], so that status.FromError and status.Code work and an
// *Error may be returned by a handler of any gRPC server. It lacks what only
// the boundary knows (the service's domain, the correlation ID): see [Status].
func (e *Error) GRPCStatus() *status.Status {
	if e == nil {
		return nil
	}
	if e.wire != nil {
		return e.wire
	}
	return status.FromProto(e.proto())
}

// Code returns the canonical code; codes.OK for a nil error.
func (e *Error) Code() codes.Code {
	if e == nil {
		return codes.OK
	}
	return e.code
}

// Message returns the message alone.
func (e *Error) Message() string {
	if e == nil {
		return ""
	}
	return e.message
}

// Reason returns the reason, or "".
func (e *Error) Reason() string {
	if e == nil {
		return ""
	}
	return e.reason
}

// Domain returns the domain, or "": [Status] fills it in at the boundary.
func (e *Error) Domain() string {
	if e == nil {
		return ""
	}
	return e.domain
}

// Meta returns the value of a metadata key, or "".
func (e *Error) Meta(key string) string {
	if e == nil {
		return ""
	}
	return e.meta[key]
}

// Metadata returns a copy of the metadata.
func (e *Error) Metadata() map[string]string {
	if e == nil {
		return nil
	}
	return maps.Clone(e.meta)
}

// Fields returns a copy of the field violations.
func (e *Error) Fields() []*errdetails.BadRequest_FieldViolation {
	if e == nil {
		return nil
	}
	return clones(e.fields)
}

// Preconditions returns a copy of the precondition violations.
func (e *Error) Preconditions() []*errdetails.PreconditionFailure_Violation {
	if e == nil {
		return nil
	}
	return clones(e.precond)
}

// Quotas returns a copy of the quota violations.
func (e *Error) Quotas() []*errdetails.QuotaFailure_Violation {
	if e == nil {
		return nil
	}
	return clones(e.quota)
}

// Resource returns a copy of the ResourceInfo, or nil.
func (e *Error) Resource() *errdetails.ResourceInfo {
	if e == nil || e.resource == nil {
		return nil
	}
	return proto.CloneOf(e.resource)
}

// RetryAfter returns the time to wait before trying again, and whether the
// error says one.
func (e *Error) RetryAfter() (time.Duration, bool) {
	if e == nil {
		return 0, false
	}
	return e.retry, e.hasRetry
}

// RequestID returns the correlation ID that the error carries in its
// RequestInfo, or "".
func (e *Error) RequestID() string {
	if e == nil {
		return ""
	}
	return e.request.GetRequestId()
}

// Remote reports whether the error came from a dependency, that is, whether
// [FromWire] made it.
func (e *Error) Remote() bool { return e != nil && e.remote }

// Details returns all details as messages, ErrorInfo first. One whose type is
// not linked into this binary, or which does not decode, is an *anypb.Any.
func (e *Error) Details() []proto.Message {
	if e == nil {
		return nil
	}
	all := e.details()
	for _, a := range e.extra {
		if m, err := a.UnmarshalNew(); err == nil {
			all = append(all, m)
			continue
		}
		all = append(all, proto.CloneOf(a))
	}
	return all
}

// Code returns the code of an error as [From] sees it: codes.OK for nil,
// INTERNAL for an error that nobody knows.
func Code(err error) codes.Code { return From(err).Code() }

// Reason returns the reason of an error as [From] sees it.
func Reason(err error) string { return From(err).Reason() }

// find returns the first error of the tree, depth first, that says what it is:
// a *verbatim, a non-nil *Error, or one with a status.
func find(err error) error {
	for err != nil {
		switch x := err.(type) { //nolint:errorlint // walks the tree itself
		case *Error:
			if x != nil {
				return x
			}
			return nil
		case *verbatim:
			return x
		case interface{ GRPCStatus() *status.Status }:
			return err
		case interface{ Unwrap() []error }:
			for _, inner := range x.Unwrap() {
				if found := find(inner); found != nil {
					return found
				}
			}
			return nil
		}
		err = errors.Unwrap(err)
	}
	return nil
}

func clones[M proto.Message](in []M) []M {
	if len(in) == 0 {
		return nil
	}
	out := make([]M, len(in))
	for i, m := range in {
		out[i] = proto.CloneOf(m)
	}
	return out
}
