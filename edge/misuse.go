package edge

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/errs"
)

// misuse is why a request for the path of a method is no call of it.
type misuse struct {
	status int
	allow  string // the HTTP methods, where that is what is wrong
	accept string // the content types, where those are
	err    *errs.Error
}

// misused answers a request for the path of a method that is no call of it. The
// answer is HTTP's alone (RFC 9457), as the protocols have it: of such a request
// nobody knows in which protocol its client reads errors, and clients of Connect and
// gRPC-Web take the code from the HTTP status.
func (x *exchange) misused(m *misuse) {
	if m.allow != "" {
		x.Header()["Allow"] = []string{m.allow}
	}
	if m.accept != "" {
		x.Header()["Accept-Post"] = []string{m.accept}
	}
	x.become(other)
	x.r.Header["Accept"] = []string{"application/problem+json"}
	x.refuse(refusedProtocol, m.status, m.err)
}

// noCall tells why a request that is in no protocol is no call of the method whose
// path it has.
func noCall(r *http.Request, m protoreflect.MethodDescriptor) *misuse {
	if wrong := wrongVerb(r, m); wrong != nil {
		return wrong
	}
	types := typesOf(m)
	said := strings.Join(r.Header["Content-Type"], ", ")
	what := "the content type " + quote(said)
	switch {
	case r.Method == http.MethodGet:
		what = "a GET without connect=v1 and encoding in its query"
	case said == "":
		what = "a request without a content type"
	}
	return &misuse{http.StatusUnsupportedMediaType, "", types,
		errs.InvalidArgument(ReasonUnsupportedMediaType, "%s is none of those that call %s; take one of %s", what, m.FullName(), types)}
}

// misuseOf tells why a request in the protocols of the transcoder is no call of a
// method; nil: it is one.
func (x *exchange) misuseOf(r *http.Request, media string, m protoreflect.MethodDescriptor) *misuse {
	if wrong := wrongVerb(r, m); wrong != nil {
		return wrong
	}
	if known := x.protocol.codec(media, r); known != "proto" && known != "json" ||
		x.protocol == connectUnary && streams(m) || x.protocol == connectStream && !streams(m) {
		return noCall(r, m)
	}
	if !x.h2 && m.IsStreamingClient() && m.IsStreamingServer() {
		return &misuse{status: http.StatusHTTPVersionNotSupported,
			err: errs.Unimplemented(ReasonHTTPVersion, "%s streams both ways, which needs HTTP/2, and this request came over HTTP/1.1", m.FullName())}
	}
	return nil
}

// wrongVerb tells whether a method cannot be called by the request's HTTP method.
func wrongVerb(r *http.Request, m protoreflect.MethodDescriptor) *misuse {
	allow := http.MethodPost
	if safe(m) {
		allow = "GET, POST"
	}
	if r.Method == http.MethodPost || r.Method == http.MethodGet && safe(m) {
		return nil
	}
	return &misuse{http.StatusMethodNotAllowed, allow, "",
		errs.Unimplemented(ReasonMethodNotAllowed, "%s is not called by the HTTP method %s; it is by %s", m.FullName(), quote(r.Method), allow)}
}

// streams tells whether a method has more than one message in any direction.
func streams(m protoreflect.MethodDescriptor) bool {
	return m.IsStreamingClient() || m.IsStreamingServer()
}

// safe tells whether a method may be called by a GET of the Connect protocol.
func safe(m protoreflect.MethodDescriptor) bool {
	o, _ := m.Options().(*descriptorpb.MethodOptions)
	return !streams(m) && o.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// typesOf are the content types by which a method can be called.
func typesOf(m protoreflect.MethodDescriptor) string {
	const grpc = "application/grpc, application/grpc+proto, application/grpc-web, application/grpc-web+json, application/grpc-web+proto, " +
		"application/grpc-web-text, application/grpc-web-text+json, application/grpc-web-text+proto"
	if streams(m) {
		return "application/connect+json, application/connect+proto, " + grpc
	}
	return typeJSON + ", " + typeProto + ", " + grpc
}

// codec is the name of the codec that a request says it has.
func (p protocol) codec(media string, r *http.Request) string {
	switch p {
	case connectUnary:
		if r.Method == http.MethodGet {
			return r.URL.Query().Get("encoding")
		}
		return strings.TrimPrefix(media, "application/")
	case connectStream:
		return strings.TrimPrefix(media, typeStreaming)
	}
	if _, codec, ok := strings.Cut(media, "+"); ok {
		return codec
	}
	return "proto"
}

// checkTerms refuses what a call says of itself and nobody can read: its time, its
// compression, its message in the query, the version of its protocol.
func checkTerms(p protocol, r *http.Request) (why string, err *errs.Error) {
	timeout, understood := "Grpc-Timeout", grpcTimeout
	if p == connectUnary || p == connectStream {
		timeout, understood = "Connect-Timeout-Ms", connectTimeout
		if v := r.Header["Connect-Protocol-Version"]; len(v) > 0 && v[0] != "1" {
			return refusedProtocol, errs.InvalidArgument(errs.ReasonInvalidRequest, "Connect-Protocol-Version is %s; it must be 1", quote(v[0]))
		}
	}
	if v := r.Header[timeout]; len(v) > 0 && (len(v) > 1 || !understood(v[0])) {
		return refusedProtocol, errs.InvalidArgument(errs.ReasonInvalidRequest, "%s is %s; %s", timeout, quote(strings.Join(v, ", ")), timeoutsAre[timeout])
	}
	encoding := r.Header.Get(p.encodingHeader())
	if r.Method == http.MethodGet {
		q := r.URL.Query()
		if err := checkQuery(q); err != nil {
			return refusedMalformed, err
		}
		encoding = q.Get("compression")
	}
	switch encoding {
	case "", "identity", "gzip":
		return "", nil
	}
	return refusedEncoding, errs.Unimplemented(ReasonEncodingUnknown, "the request is compressed with %s; this service knows gzip and identity", quote(encoding))
}

// isPlain tells whether a header says nothing of compression.
func isPlain(p protocol, h http.Header) bool {
	v := h.Get(p.encodingHeader())
	return v == "" || v == "identity"
}

// encodingHeader is where a protocol says how its messages are compressed.
func (p protocol) encodingHeader() string {
	switch p {
	case connectUnary:
		return "Content-Encoding"
	case connectStream:
		return "Connect-Content-Encoding"
	default:
		return "Grpc-Encoding"
	}
}

// quote is a value of the client's in an error, shortened.
func quote(v string) string { return strconv.Quote(v[:min(len(v), 64)]) }

// timeoutsAre says how the headers are written.
var timeoutsAre = map[string]string{
	"Grpc-Timeout":       "it must be at most 8 digits and a unit, one of H, M, S, m, u and n, as in 100m",
	"Connect-Timeout-Ms": "it must be at most 10 digits, in milliseconds",
}

func grpcTimeout(v string) bool {
	return len(v) >= 2 && len(v) <= 9 && digits(v[:len(v)-1]) && strings.IndexByte("HMSmun", v[len(v)-1]) >= 0
}

func connectTimeout(v string) bool { return v != "" && len(v) <= 10 && digits(v) }

func digits(v string) bool { return strings.Trim(v, "0123456789") == "" }

// checkQuery refuses the query of a Connect GET whose message cannot be read.
func checkQuery(q url.Values) *errs.Error {
	switch q.Get("base64") {
	case "", "0":
		return nil
	case "1":
	default:
		return errs.InvalidArgument(errs.ReasonInvalidRequest, "base64 in the query is %s; it must be 1, or be left out", quote(q.Get("base64")))
	}
	message := strings.TrimRight(q.Get("message"), "=")
	if _, err := base64.RawURLEncoding.DecodeString(message); err != nil {
		return malformed("message in the query is no base64 for URLs: %v", err)
	}
	return nil
}

// noRoute answers a request that is in no protocol and for no page or route.
func (e *Edge) noRoute(x *exchange, r *http.Request, routes *routes) {
	if _, m := e.method(r.URL.Path); m != nil {
		x.method = m
		x.misused(noCall(r, m))
		return
	}
	if e.notDescribed(x, r.URL.Path) {
		return
	}
	if unknown := e.service.Contract().Undescribed; len(unknown) > 0 { // the path may be theirs
		x.refuse(refusedUndescribed, http.StatusServiceUnavailable,
			errs.Unavailable(errs.ReasonNoReadyInstance, "there is nothing at %q yet, and no instance of %s has told its methods; try again", r.URL.Path[:min(len(r.URL.Path), maxLoggedPath)], strings.Join(unknown, ", ")).
				With(errs.RetryAfter(askAgain)))
		return
	}
	x.refuse(refusedUnknown, http.StatusNotFound, routes.rest.NotFound(r))
}

// notDescribed answers a call of a service that is served, but whose methods nobody
// has said yet; false: it is not.
func (e *Edge) notDescribed(x *exchange, path string) bool {
	service, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !slices.Contains(e.service.Contract().Undescribed, service) {
		return false
	}
	x.refuse(refusedUndescribed, http.StatusServiceUnavailable,
		errs.Unavailable(errs.ReasonNoReadyInstance, "no instance of %s has told its methods yet; try again", service).With(errs.RetryAfter(askAgain)))
	return true
}

// askAgain is when a client may ask for a service again whose methods are not known.
const askAgain = time.Second
