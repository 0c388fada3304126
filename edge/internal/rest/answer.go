package rest

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
)

// exchange is one request and its answer.
type exchange struct {
	rt     *Router
	w      http.ResponseWriter
	r      *http.Request
	route  *route // nil: no route
	raw    []string
	id     string // correlation ID
	accept accept
	cond   conditions
	code   codes.Code // that the client was told
	own    bool       // the answer is a fault that the router found
}

// fail answers with a fault of the router's own.
func (x *exchange) fail(f *fault) {
	x.own = true
	for name, values := range f.header {
		x.w.Header()[name] = values
	}
	x.failWith(x.status(f), f.http)
}

// encode returns what writes JSON: with the types of the method, if there is one.
func (x *exchange) encode() *encoder {
	if x.route != nil {
		return &x.route.encode
	}
	return &x.rt.encode
}

// status returns the status that a fault is.
func (x *exchange) status(f *fault) *status.Status { return errs.Status(f.err, x.domain(), x.id) }

func (x *exchange) domain() string {
	switch {
	case x.rt.config.Domain != "":
		return x.rt.config.Domain
	case x.route != nil:
		return string(x.route.method.Parent().FullName())
	}
	return "rest"
}

// failWith answers with a status. code 0: by the status.
func (x *exchange) failWith(st *status.Status, code int) {
	if code == 0 {
		code = x.httpOf(st)
	}
	x.code = st.Code()
	h := x.w.Header()
	dropAnswer(h)
	if d, ok := retryDelay(st); ok {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
	if code == http.StatusUnauthorized && h.Get("Www-Authenticate") == "" {
		h.Set("Www-Authenticate", "Bearer")
	}
	h.Set("Cache-Control", "no-store")
	body := x.encode().status(st)
	h.Set("Content-Type", typeJSON)
	if x.accept.problem() {
		h.Set("Content-Type", typeProblem)
		body = x.problem(st, code)
	}
	x.write(code, body)
}

// httpOf is the HTTP code of a status: that of its code, unless HTTP has one that
// says more. 429 would have a client send the same large body again, or ask again for
// the same large answer: of that nothing is wrong with the request, and waiting does
// not help.
func (x *exchange) httpOf(st *status.Status) int {
	switch reason := errorInfo(st).GetReason(); {
	case st.Code() == codes.Aborted && reason == ReasonETagMismatch && x.cond.sent:
		return http.StatusPreconditionFailed
	case st.Code() == codes.ResourceExhausted && reason == errs.ReasonRequestTooLarge:
		return http.StatusRequestEntityTooLarge
	case st.Code() == codes.ResourceExhausted && reason == errs.ReasonResponseTooLarge:
		return http.StatusInternalServerError
	}
	return httpCode(st.Code())
}

// dropAnswer removes what was set for another answer.
func dropAnswer(h http.Header) {
	for _, name := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Etag", "Location", "X-Accel-Buffering"} {
		h.Del(name)
	}
}

// write sends a whole answer.
func (x *exchange) write(code int, body []byte) {
	h := x.w.Header()
	h.Set(correlationHeader, x.id)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(code)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) //nolint:gosec // G705: JSON, never HTML, and nosniff; a client that is gone needs no answer
	}
}

// status returns a status as JSON, whatever is in it.
func (e *encoder) status(st *status.Status) []byte {
	p := st.Proto()
	if raw, err := e.message(p); err == nil {
		return raw
	}
	bare := &spb.Status{Code: p.GetCode(), Message: strings.ToValidUTF8(p.GetMessage(), "\uFFFD")}
	if raw, err := e.message(bare); err == nil {
		return raw
	}
	return []byte(`{"code":` + strconv.Itoa(int(p.GetCode())) + `}`)
}

// retryDelay returns the delay of RetryInfo.
func retryDelay(st *status.Status) (time.Duration, bool) {
	info := &errdetails.RetryInfo{}
	if !detail(st, info) || info.GetRetryDelay() == nil {
		return 0, false
	}
	return max(info.GetRetryDelay().AsDuration(), 0), true
}

// detail finds the first detail of a type.
func detail(st *status.Status, into proto.Message) bool {
	for _, a := range st.Proto().GetDetails() {
		if a.MessageIs(into) && a.UnmarshalTo(into) == nil {
			return true
		}
	}
	return false
}

// problemDetails is RFC 9457, with the members that a google.rpc.Status has.
type problemDetails struct {
	Type       string            `json:"type"`
	Title      string            `json:"title"`
	Status     int               `json:"status"`
	Detail     string            `json:"detail,omitempty"`
	Instance   string            `json:"instance,omitempty"`
	Code       string            `json:"code"`
	Reason     string            `json:"reason,omitempty"`
	Domain     string            `json:"domain,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
	Errors     []problemError    `json:"errors,omitempty"`
	RetryAfter *float64          `json:"retry_after,omitempty"`
	Details    []json.RawMessage `json:"details,omitempty"`
}

// problemError is one field that is wrong. Pointer is a JSON pointer into the
// body as a URI fragment, as in the example of RFC 9457, section 3; a field that
// is a parameter has none.
type problemError struct {
	Detail  string `json:"detail"`
	Pointer string `json:"pointer,omitempty"`
	Field   string `json:"field,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// problem returns a status as problem details.
func (x *exchange) problem(st *status.Status, code int) []byte {
	p := problemDetails{
		Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: st.Message(),
		Code: errs.CodeName(st.Code()),
	}
	if code == statusClientClosed {
		p.Title = "Client Closed Request"
	}
	if x.id != "" {
		p.Instance = "urn:keelson:correlation-id:" + urnEncode(x.id)
	}
	if d, ok := retryDelay(st); ok {
		seconds := d.Seconds()
		p.RetryAfter = &seconds
	}
	for _, a := range st.Proto().GetDetails() {
		info, bad := &errdetails.ErrorInfo{}, &errdetails.BadRequest{}
		switch {
		case p.Reason == "" && a.MessageIs(info) && a.UnmarshalTo(info) == nil:
			p.Reason, p.Domain, p.Metadata = info.GetReason(), info.GetDomain(), info.GetMetadata()
			if p.Domain != "" && p.Reason != "" {
				p.Type = "urn:keelson:error:" + urnEncode(p.Domain) + ":" + urnEncode(p.Reason)
			}
		case a.MessageIs(bad) && a.UnmarshalTo(bad) == nil:
			for _, v := range bad.GetFieldViolations() {
				p.Errors = append(p.Errors, problemError{v.GetDescription(), x.pointer(v.GetField()), v.GetField(), v.GetReason()})
			}
		case a.MessageIs((*errdetails.RetryInfo)(nil)), a.MessageIs((*errdetails.RequestInfo)(nil)):
		default:
			if raw, err := x.encode().message(a); err == nil {
				p.Details = append(p.Details, raw)
			}
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return x.encode().status(st)
	}
	return raw
}

// urnEncode percent-encodes what a URN's specific string may not have (RFC 8141).
func urnEncode(text string) string {
	v := variable{}
	return v.encode(text)
}
