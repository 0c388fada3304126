package errs

import (
	"maps"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Metadata keys of ErrorInfo that the chassis itself uses.
const (
	// MetaResumeToken holds the token with which a stream that the server ended
	// is resumed; see [Draining].
	MetaResumeToken = "resume_token"
	// MetaTruncated names what was left out to stay under [MaxStatusSize]: a
	// comma-separated list of message, metadata (domain and reason included),
	// violations, details.
	MetaTruncated = "truncated"
)

// Detail is something that [Error.With] adds to an error. The functions of this
// package that return one are all there are. Strings that are not valid UTF-8
// are repaired with U+FFFD.
type Detail interface{ apply(*Error) }

type detailFunc func(*Error)

func (f detailFunc) apply(e *Error) { f(e) }

// Domain sets the domain in which the reason is unique, for instance
// "user.example.com". Without it [Status] sets the service's.
func Domain(d string) Detail {
	return detailFunc(func(e *Error) { e.domain = valid(d) })
}

// Meta sets a key of ErrorInfo's metadata: a dynamic part of the message, for
// programs. Keys are lower_snake_case of at most 64 characters (AIP-193).
func Meta(key, value string) Detail {
	return detailFunc(func(e *Error) {
		if e.meta == nil {
			e.meta = make(map[string]string, 1)
		}
		e.meta[valid(key)] = valid(value)
	})
}

// Cause sets the error that errors.Is, errors.As and the log see behind this
// one. No part of it leaves the process.
func Cause(err error) Detail {
	return detailFunc(func(e *Error) { e.cause = err })
}

// Field adds a violation to BadRequest: the path of the field as in the request
// ("user.email", "users[2].name"), a reason in UPPER_SNAKE_CASE or a rule's id,
// and what would be right.
func Field(path, reason, description string) Detail {
	return detailFunc(func(e *Error) {
		e.fields = append(e.fields, &errdetails.BadRequest_FieldViolation{
			Field: valid(path), Reason: valid(reason), Description: valid(description),
		})
	})
}

// Precondition adds a violation to PreconditionFailure: a kind ("STATE"), the
// subject it holds for ("users/7") and what must be true.
func Precondition(kind, subject, description string) Detail {
	return detailFunc(func(e *Error) {
		e.precond = append(e.precond, &errdetails.PreconditionFailure_Violation{
			Type: valid(kind), Subject: valid(subject), Description: valid(description),
		})
	})
}

// Quota adds a violation to QuotaFailure: the subject whose quota is used up
// ("caller:10.0.0.7") and how large it is.
func Quota(subject, description string) Detail {
	return detailFunc(func(e *Error) {
		e.quota = append(e.quota, &errdetails.QuotaFailure_Violation{Subject: valid(subject), Description: valid(description)})
	})
}

// Resource sets ResourceInfo: the resource type ("user.example.com/User"), its
// name ("users/7"), its owner or "", and what went wrong with it.
func Resource(kind, name, owner, description string) Detail {
	return detailFunc(func(e *Error) {
		e.resource = &errdetails.ResourceInfo{
			ResourceType: valid(kind), ResourceName: valid(name), Owner: valid(owner), Description: valid(description),
		}
	})
}

// RetryAfter sets RetryInfo: how long a caller waits before it tries again.
// Negative is zero.
func RetryAfter(d time.Duration) Detail {
	return detailFunc(func(e *Error) { e.retry, e.hasRetry = max(d, 0), true })
}

// Message adds a detail of any other type (LocalizedMessage, Help, the
// service's own). One of the standard types joins what is there already; a
// message that does not marshal is left out and [MetaTruncated] says so. It is
// copied.
func Message(m proto.Message) Detail {
	return detailFunc(func(e *Error) {
		a := &anypb.Any{}
		if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
			Meta(MetaTruncated, "details").apply(e)
			return
		}
		e.absorb(a)
	})
}

// absorb puts a packed detail where it belongs. What may be there once keeps
// the first; violations are joined; the rest is kept as it came.
func (e *Error) absorb(a *anypb.Any) {
	if !utf8.ValidString(a.GetTypeUrl()) {
		return // could not be sent on
	}
	m, err := a.UnmarshalNew()
	if err != nil && a.MessageIs((*errdetails.ErrorInfo)(nil)) {
		return // broken, and there may be one only
	}
	if err != nil {
		e.extra = append(e.extra, a)
		return
	}
	switch d := m.(type) {
	case *errdetails.ErrorInfo:
		e.absorbInfo(d)
	case *errdetails.RequestInfo:
		if e.request == nil {
			e.request = d
		}
	case *errdetails.RetryInfo:
		if !e.hasRetry {
			e.retry, e.hasRetry = d.GetRetryDelay().AsDuration(), true
		}
	case *errdetails.BadRequest:
		e.fields = append(e.fields, d.GetFieldViolations()...)
	case *errdetails.PreconditionFailure:
		e.precond = append(e.precond, d.GetViolations()...)
	case *errdetails.QuotaFailure:
		e.quota = append(e.quota, d.GetViolations()...)
	case *errdetails.ResourceInfo:
		if e.resource == nil {
			e.resource = d
		}
	default:
		e.extra = append(e.extra, a)
	}
}

func (e *Error) absorbInfo(d *errdetails.ErrorInfo) {
	if e.reason != "" || e.domain != "" || len(e.meta) > 0 {
		return
	}
	e.reason, e.domain, e.meta = d.GetReason(), d.GetDomain(), maps.Clone(d.GetMetadata())
}
