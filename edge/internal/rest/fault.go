package rest

import (
	"net/http"

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
	// ReasonUploadBroken: the upload ended within its body.
	ReasonUploadBroken = "UPLOAD_BROKEN"
)

// fault is why a request is refused before it was a call, or in place of its
// answer.
type fault struct {
	http   int // 0: by the code
	err    error
	header http.Header
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
	first   string
	count   int
	details []errs.Detail
}

// maxViolations is how many are told.
const maxViolations = 16

func (v *violations) add(field, reason, description string) {
	if v.count++; v.count == 1 {
		v.first = nameOf(field) + " " + description
	}
	if v.count <= maxViolations {
		v.details = append(v.details, errs.Field(field, reason, description))
	}
}

func (v *violations) full() bool { return v.count >= maxViolations }

// fault returns what was collected, or nil.
func (v *violations) fault() *fault {
	switch v.count {
	case 0:
		return nil
	case 1:
		return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "%s", v.first).With(v.details...))
	}
	return wrong(errs.InvalidArgument(errs.ReasonInvalidRequest, "%s; and %d more, see the field violations", v.first, v.count-1).With(v.details...))
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
