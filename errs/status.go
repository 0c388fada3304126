package errs

import (
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	internalMessage = "internal error"
	maxRequestID    = 128 // bytes; the chassis's own correlation IDs are shorter
)

// Status maps the error of a handler to the status that leaves the server: the
// table in the package comment. domain is the service's, for errors that name
// none; correlationID, when not empty, goes into RequestInfo. A nil err (or a
// nil *Error) gives nil and allocates nothing; no other err gives nil or an OK
// status.
//
// The classifiers are asked, in order, about an error that holds neither an
// *Error nor a status nor the end of a context: the service's [Table], its
// store's codes.
//
// The result has exactly one ErrorInfo, unless it passes as it came (see
// [Verbatim]), holds valid UTF-8 only and is at most [MaxStatusSize] bytes.
func Status(err error, domain, correlationID string, more ...Classifier) *status.Status {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok && e == nil { //nolint:errorlint // a typed nil has no chain
		return nil
	}
	correlationID = cut(valid(correlationID), maxRequestID)
	e, asIs := outgoing(err, correlationID, more)
	if asIs {
		return e.verbatim(domain)
	}
	e = e.leaving(domain)
	if correlationID != "" {
		e.request = &errdetails.RequestInfo{RequestId: correlationID}
	}
	return status.FromProto(e.proto())
}

// outgoing decides what err leaves as, and whether it leaves as it came.
func outgoing(err error, correlationID string, more []Classifier) (e *Error, asIs bool) {
	if v, ok := find(err).(*verbatim); ok { //nolint:errorlint // find has walked the tree
		if e := inChain(v.err); e != nil && e.code != codes.OK {
			return e, true
		}
		err = v.err
	}
	e = inChain(err)
	switch {
	case e == nil:
		if e = classify(err, more...); e == nil {
			e = hidden(ReasonInternal, correlationID)
		}
	case e.remote:
		e = dependency(e, correlationID)
	}
	return e, false
}

// hidden is the answer that tells the caller nothing but where to look.
func hidden(reason, correlationID string) *Error {
	if correlationID == "" {
		return Internal(reason, internalMessage)
	}
	return Internal(reason, "internal error; quote the correlation ID %s", correlationID)
}

// dependency is what a dependency's failure is to our own caller.
func dependency(e *Error, correlationID string) *Error {
	reason, message := "", ""
	switch e.code {
	case codes.Unavailable:
		reason, message = ReasonDependencyUnavailable, "a dependency is unavailable"
	case codes.DeadlineExceeded:
		reason, message = ReasonDependencyTimeout, "a dependency did not answer in time"
	case codes.ResourceExhausted:
		reason, message = ReasonDependencyExhausted, "a dependency refuses more work for now"
	default:
		return hidden(ReasonDependencyFailed, correlationID)
	}
	kept := &Error{code: e.code, reason: reason, message: message, retry: e.retry, hasRetry: e.hasRetry, quota: e.quota}
	if e.reason == "" {
		return kept // gRPC's own words: addresses, not for callers
	}
	kept.reason, kept.domain, kept.message = e.reason, e.domain, e.message
	for k, v := range e.meta {
		if k != MetaResumeToken { // resumes the dependency's stream, not ours
			Meta(k, v).apply(kept)
		}
	}
	return kept
}

// leaving returns a copy of e with what every status must have.
func (e *Error) leaving(domain string) *Error {
	c := e.With()
	if c.code == codes.OK || c.code > codes.Unauthenticated {
		c.code = codes.Unknown
	}
	if c.reason == "" {
		c.reason = CodeName(c.code)
	}
	if c.domain == "" {
		c.domain = valid(domain)
	}
	return c
}

// CodeName returns the name of a code as in google.rpc.Code, for instance
// NOT_FOUND ("CANCELED" as in gRPC's documents); UNKNOWN for numbers that are
// none.
func CodeName(c codes.Code) string {
	names := [...]string{
		"OK", "CANCELED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
		"UNAUTHENTICATED",
	}
	if int64(c) >= int64(len(names)) {
		return "UNKNOWN"
	}
	return names[c]
}

// ValidReason reports whether a reason is as AIP-193 wants it:
// UPPER_SNAKE_CASE, 2 to 63 characters.
func ValidReason(reason string) bool { return len(reason) > 1 && reason == normalReason(reason) }

// normalReason makes a reason of any string.
func normalReason(reason string) string {
	ok := len(reason) <= maxReason
	for i := 0; ok && i < len(reason); i++ {
		c := reason[i]
		ok = c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '_' && i < len(reason)-1)
	}
	if ok {
		return reason
	}
	words := strings.FieldsFunc(strings.ToUpper(reason), func(r rune) bool { return (r < 'A' || r > 'Z') && (r < '0' || r > '9') })
	clean := strings.Join(words, "_")
	if clean == "" || clean[0] <= '9' {
		clean = "E_" + clean
	}
	return strings.TrimRight(clean[:min(len(clean), maxReason)], "_")
}
