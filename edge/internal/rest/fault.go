package rest

import (
	"cmp"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
)

// Reasons of the errors that the router makes itself. Wrong values of fields,
// wherever they came from, are [errs.ReasonInvalidRequest].
const (
	// ReasonRouteNotFound: no route has the path.
	ReasonRouteNotFound = "ROUTE_NOT_FOUND"
	// ReasonMethodNotAllowed: the path is served, but not for this HTTP method.
	ReasonMethodNotAllowed = "METHOD_NOT_ALLOWED"
	// ReasonNotAcceptable: nothing that the method answers is in Accept.
	ReasonNotAcceptable = "NOT_ACCEPTABLE"
	// ReasonUnsupportedMediaType: the body is of a type, charset or encoding that
	// is not read.
	ReasonUnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE"
	// ReasonRequestTooLarge: the body, or a line of it, is larger than allowed.
	ReasonRequestTooLarge = "REQUEST_TOO_LARGE"
	// ReasonInvalidJSON: the body is no JSON, or not one value.
	ReasonInvalidJSON = "INVALID_JSON"
	// ReasonPreconditionUnsupported: a condition that the method cannot check.
	ReasonPreconditionUnsupported = "PRECONDITION_UNSUPPORTED"
	// ReasonETagMismatch: the condition of If-Match does not hold.
	ReasonETagMismatch = "ETAG_MISMATCH"
	// ReasonUploadBroken: the body ended before its end, by Content-Length or by its
	// last chunk.
	ReasonUploadBroken = "UPLOAD_BROKEN"
	// ReasonRequestTimeout: the body did not come in time.
	ReasonRequestTimeout = "REQUEST_TIMEOUT"
)

// fault is why a request is refused before it was a call, or in place of its
// answer.
type fault struct {
	http   int // 0: by the code
	err    error
	header http.Header
	placed bool // the message says at which line of the body
}

func wrong(err *errs.Error) *fault { return &fault{err: err} }

// invalid returns INVALID_ARGUMENT for one field.
func invalid(field, description string) *fault {
	return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "%s %s", nameOf(field), description).
		With(errs.Field(field, "INVALID_VALUE", description)))
}

func nameOf(field string) string {
	if field == "" {
		return "the body"
	}
	return field
}

// violations collects what is wrong with the fields of a request, so that all
// is said at once.
type violations struct {
	reason  string // of the first; empty: [errs.ReasonInvalidRequest]
	first   string
	placed  bool // first says at which line of the body
	count   int
	details []errs.Detail
}

// maxViolations is how many are told of the body, and how many of the rest.
const maxViolations = 16

func (v *violations) add(field, reason, description string) {
	v.note(nameOf(field)+" "+description, errs.Field(field, reason, description))
}

// note adds a violation that is told in words of its own when it is the first.
func (v *violations) note(message string, field errs.Detail) {
	if v.count++; v.count == 1 {
		v.first = message
	}
	if v.count <= maxViolations {
		v.details = append(v.details, field)
	}
}

func (v *violations) full() bool { return v.count >= maxViolations }

// join adds what another one collected.
func (v *violations) join(more violations) {
	if v.count == 0 {
		*v = more
		return
	}
	v.count += more.count
	v.details = append(v.details, more.details...)
}

// fault returns what was collected, or nil.
func (v *violations) fault() *fault {
	if v.count == 0 {
		return nil
	}
	message := v.first
	if v.count > 1 {
		message += "; and " + strconv.Itoa(v.count-1) + " more, see the field violations"
	}
	e := errs.InvalidArgument(cmp.Or(v.reason, errs.ReasonInvalidRequest), "%s", message)
	return &fault{err: e.With(v.details...), placed: v.placed}
}

// httpCode maps a code to HTTP as google/rpc/code.proto says.
func httpCode(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.Canceled:
		return statusClientClosed
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// statusClientClosed is "Client Closed Request" of google/rpc/code.proto; no RFC
// has it.
const statusClientClosed = 499
