package edge

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// The reasons of errors that an edge makes by itself, besides those of package
// errs. They are API: docs/errors.md lists them.
const (
	// ReasonRouteNotFound: nothing here has this path.
	ReasonRouteNotFound = rest.ReasonRouteNotFound
	// ReasonMethodNotAllowed: the path is there, but not for this HTTP method.
	ReasonMethodNotAllowed = rest.ReasonMethodNotAllowed
	// ReasonRequestTooLarge: the body of the request is larger than the edge takes.
	ReasonRequestTooLarge = rest.ReasonRequestTooLarge
	// ReasonRequestTimeout: the body of the request did not come in time.
	ReasonRequestTimeout = rest.ReasonRequestTimeout
	// ReasonUploadBroken: the body of the request broke off before its end.
	ReasonUploadBroken = rest.ReasonUploadBroken
	// ReasonUnsupportedMediaType: the content type is none that is read here.
	ReasonUnsupportedMediaType = rest.ReasonUnsupportedMediaType
	// ReasonMalformedMessage: what came is no message: neither JSON nor bytes of the
	// .proto, or not framed or compressed as its protocol has it.
	ReasonMalformedMessage = errs.ReasonMalformedMessage
	// ReasonHostUnknown: the edge does not answer under the name in Host.
	ReasonHostUnknown = "HOST_UNKNOWN"
	// ReasonOriginNotAllowed: a page of an origin that may not call.
	ReasonOriginNotAllowed = "ORIGIN_NOT_ALLOWED"
	// ReasonHTTPVersion: gRPC needs HTTP/2.
	ReasonHTTPVersion = "HTTP_VERSION_NOT_SUPPORTED"
	// ReasonEncodingUnknown: the request is compressed in a way that is not known.
	ReasonEncodingUnknown = "ENCODING_UNKNOWN"
)

// refuse answers a request that goes no further, in the form that its protocol has
// for errors, and tells the log and the metrics. httpStatus is for protocols whose
// errors have one.
func (x *exchange) refuse(why string, httpStatus int, err *errs.Error) {
	x.edge.metrics.refused(why)
	x.refusal = why
	x.fail(httpStatus, errs.Status(err, x.edge.domain, x.correlation[0]))
}

// fail answers with a status, in the form that the request's protocol has for
// errors.
func (x *exchange) fail(httpStatus int, st *status.Status) {
	x.code, x.coded = st.Code(), true
	if x.wrote {
		return // it is too late for another answer
	}
	if x.protocol != native {
		sayRetryAfter(x.Header(), st)
	}
	switch x.protocol {
	case native, web, webText:
		x.failGRPC(st)
	case connectUnary:
		x.failConnect(httpStatus, st)
	case connectStream:
		x.failStreaming(st)
	default:
		x.failREST(httpStatus, st)
	}
}

// failGRPC answers with a header alone, as gRPC's specification has it for calls
// that end before they began.
func (x *exchange) failGRPC(st *status.Status) {
	h := x.Header()
	h.Set("Content-Type", contentType(x.r.Header))
	putStatus(h, st)
	x.WriteHeader(http.StatusOK)
}

// percentEncode encodes grpc-message (PROTOCOL-HTTP2.md of gRPC).
func percentEncode(s string) string {
	plain := func(c byte) bool { return c >= ' ' && c <= '~' && c != '%' }
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// connectError is an error of the Connect protocol in JSON.
type connectError struct {
	Code    string          `json:"code"`
	Message string          `json:"message,omitempty"`
	Details []connectDetail `json:"details,omitempty"`
}

type connectDetail struct {
	Type  string `json:"type"`
	Value string `json:"value"`
}

func connectErrorOf(st *status.Status) *connectError {
	e := &connectError{Code: strings.ToLower(errs.CodeName(st.Code())), Message: st.Message()}
	for _, d := range st.Proto().GetDetails() {
		name := d.GetTypeUrl()
		e.Details = append(e.Details, connectDetail{name[strings.LastIndexByte(name, '/')+1:], base64.RawStdEncoding.EncodeToString(d.GetValue())})
	}
	return e
}

func (x *exchange) failConnect(httpStatus int, st *status.Status) {
	text, _ := json.Marshal(connectErrorOf(st)) // strings marshal
	x.Header().Set("Content-Type", typeJSON)
	x.Header().Set("Content-Length", strconv.Itoa(len(text)))
	x.WriteHeader(httpStatus)
	_, _ = x.Write(text) // the client went away
}

// failStreaming sends the message that ends a stream of the Connect protocol.
func (x *exchange) failStreaming(st *status.Status) {
	text, _ := json.Marshal(map[string]any{"error": connectErrorOf(st)})   // strings marshal
	const end = 2                                                          // the flag of the last message
	frame := binary.BigEndian.AppendUint32([]byte{end}, uint32(len(text))) //nolint:gosec // a status is small
	x.Header().Set("Content-Type", contentType(x.r.Header))
	x.WriteHeader(http.StatusOK)
	_, _ = x.Write(append(frame, text...)) // the client went away
}

// failREST answers in the one form that errors have over REST.
func (x *exchange) failREST(httpStatus int, st *status.Status) {
	x.edge.errors.Error(x, x.r, httpStatus, st)
}

// account counts an exchange that has ended, and writes the line of one that never
// reached the service, which writes those of all others.
func (e *Edge) account(x *exchange) {
	e.metrics.ended(x)
	level := slog.LevelDebug
	if x.refusal != "" {
		level = slog.LevelInfo
	}
	// The record makes the line carry the correlation ID, and the method where it is known.
	c := &call.Call{Context: x.r.Context(), Method: &policy.Method{}, CorrelationID: x.correlation[0]}
	if m := x.method; m != nil {
		c.Method.Service, c.Method.Name = string(m.Parent().FullName()), string(m.Name())
	}
	if !e.log.Enabled(c, level) {
		return
	}
	code := x.code
	if !x.coded {
		code = codeOf(x.status)
	}
	path, _ := url.PathUnescape(x.r.URL.EscapedPath())
	e.log.LogAttrs(c, level, "edge answered", slog.String("protocol", x.protocol.String()), slog.String("http_method", x.r.Method),
		slog.String("path", path[:min(len(path), maxLoggedPath)]), slog.Int("http_status", x.status), slog.String("code", errs.CodeName(code)),
		slog.String("refused", x.refusal), slog.Int64("sent_bytes", x.sent))
}

// maxLoggedPath is how much of a path a line holds, in bytes.
const maxLoggedPath = 256

// httpStatusOf is the HTTP status that the Connect protocol has for a code.
func httpStatusOf(c codes.Code) int {
	switch c {
	case codes.Canceled:
		return 499
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
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	default:
		return http.StatusInternalServerError
	}
}
