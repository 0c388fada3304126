package edge

import (
	"bytes"
	"errors"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/errs"
)

// ServeHTTP implements http.Handler: it serves one request in any of the
// protocols. The header of the request is changed, as sanitising demands.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := e.begin(w, r)
	x.correlation = e.sanitise(r)
	media := contentType(r.Header)
	x.protocol = classify(r, media, e.isCall)
	w.Header()[headerCorrelation] = x.correlation
	e.metrics.inFlight[x.protocol].Inc()
	e.flight.begin()
	returned := false
	defer func() {
		if !returned {
			x.panicked(recover())
		}
		x.end()
		e.flight.end()
	}()
	e.serve(x, r, media)
	returned = true
}

// panicked answers for a handler that did not. Where an answer has begun it is broken
// off, so that nobody takes the part for the whole.
func (x *exchange) panicked(reason any) {
	if err, ok := reason.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		x.breakOff()
	}
	x.edge.log.Error("a handler at the edge panicked", "panic", reason, "path", x.r.URL.Path, "stack", string(debug.Stack()))
	begun := x.wrote
	x.refuse(refusedPanic, http.StatusInternalServerError, errs.Internal(errs.ReasonPanic, "internal error; quote the correlation ID %s", x.correlation[0]))
	if begun {
		x.breakOff()
	}
}

// breakOff ends the exchange by net/http's own way to break a connection.
func (x *exchange) breakOff() {
	x.guard.stop()
	if !x.h2 { // net/http would read on, for as long as the client likes
		_ = http.NewResponseController(x.w).SetReadDeadline(past) // a writer without deadlines is a test's
	}
	x.edge.account(x)
	x.edge.flight.end()
	panic(http.ErrAbortHandler)
}

// serve passes a request to what it is for. The order is the package's.
func (e *Edge) serve(x *exchange, r *http.Request, media string) {
	if x.protocol != native {
		e.secure(x.Header(), r.TLS != nil)
	}
	if r.Method == "PRI" { // the preface of HTTP/2, where that is not permitted
		e.refuseVersion(x)
		return
	}
	if x.protocol != native && !e.hosts.permits(r.Host) { // no page speaks native gRPC
		x.refuseHost()
		return
	}
	if e.origins.check(x, r) {
		return
	}
	switch {
	case x.protocol == native:
		e.serveNative(x, r)
	case x.protocol.rpc():
		e.serveRPC(x, r, media)
	default:
		e.servePage(x, r, media)
	}
}

// serveRPC transcodes gRPC-Web and Connect.
func (e *Edge) serveRPC(x *exchange, r *http.Request, media string) {
	routes, m := e.method(r.URL.Path)
	if m == nil {
		e.refuseMethod(x, r, routes)
		return
	}
	x.method = m
	if wrong := x.misuseOf(r, media, m); wrong != nil {
		x.misused(wrong)
		return
	}
	if why, err := checkTerms(x.protocol, r); err != nil {
		x.refuse(why, httpStatusOf(err.Code()), err)
		return
	}
	if v := r.Header["Content-Type"]; len(v) == 1 && v[0] != media {
		r.Header["Content-Type"] = []string{media} // the transcoder knows no parameters
	}
	json := strings.HasSuffix(media, "json")
	x.decoded = (json || r.Method == http.MethodGet) && !m.IsStreamingClient()
	b := x.body
	switch {
	case x.protocol.framed():
		b.framing = prefixed
		x.duplex = true
		if !m.IsStreamingClient() { // there is one message, and it is to come now
			b.began = x.now()
		}
		b.plain = isPlain(x.protocol, r.Header)
		if json { // what is decoded here must not claim more memory than it sends
			b.gather, b.limit = true, int64(e.cfg.MaxBody)
		}
	default:
		e.prepareUnary(x, r, json)
	}
	switch x.protocol {
	case web:
		x.transcode(routes.transcoder, &webWriter{ResponseWriter: x}, r)
		return
	case webText:
	default:
		x.transcode(routes.transcoder, x, r)
		return
	}
	b.ReadCloser = newTextReader(b.ReadCloser)
	r.ContentLength = -1
	r.Header["Content-Type"] = []string{typeWeb + strings.TrimPrefix(media, typeWebText)}
	w := &textWriter{exchange: x}
	x.transcode(routes.transcoder, &webWriter{ResponseWriter: w}, r)
	w.pad()
}

// transcode lets the transcoder serve a request. When it could not write an answer it
// tells the client so, and yet goes on with that answer in the end, whose buffer it has
// given back (vanguard v0.4.0, transformingWriter.Write): it may panic then, and
// everything has been said.
func (x *exchange) transcode(h http.Handler, w http.ResponseWriter, r *http.Request) {
	defer func() {
		if x.told {
			_ = recover()
		}
	}()
	h.ServeHTTP(w, r)
}

// prepareUnary prepares a unary call of the Connect protocol.
func (e *Edge) prepareUnary(x *exchange, r *http.Request, json bool) {
	limit := int64(e.cfg.MaxBody)
	x.body.limit = limit
	if r.ContentLength > limit {
		x.body.tooLarge.Store(true)
		x.body.err = &http.MaxBytesError{Limit: limit}
	}
	if json {
		r.ContentLength = -1 // as in serveRPC
	}
	if r.Method == http.MethodPost {
		r.Header["Connect-Protocol-Version"] = connectVersion
	}
}

// connectVersion is shared by all requests.
var connectVersion = []string{"1"}

// refuseMethod answers a call of a method that the contract does not have. Of a
// service that it has the service itself is asked, which accounts for it.
func (e *Edge) refuseMethod(x *exchange, r *http.Request, routes *routes) {
	if e.notDescribed(x, r.URL.Path) {
		return
	}
	service, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if routes.services[service] {
		x.refusal = refusedUnknown
		st := e.ask(r)
		x.edge.metrics.refused(refusedUnknown)
		x.fail(http.StatusNotFound, st)
		return
	}
	path := r.URL.Path[:min(len(r.URL.Path), maxLoggedPath)]
	x.refuse(refusedUnknown, http.StatusNotFound, errs.Unimplemented(errs.ReasonMethodUnknown, "this server has no method %q for gRPC-Web and Connect", path))
}

// servePage serves what is no RPC protocol: documents, handlers of a main, REST.
func (e *Edge) servePage(x *exchange, r *http.Request, media string) {
	x.body.limit = int64(e.cfg.MaxBody)
	w, finish := x.compressed()
	e.serveTo(x, w, r, media)
	finish() // not after a panic: what is held is no answer then
}

// serveTo is servePage for a writer.
func (e *Edge) serveTo(x *exchange, w http.ResponseWriter, r *http.Request, media string) {
	routes := e.current()
	if e.serveAdded(x, w, r, routes) {
		return
	}
	target := routes.rest.Find(r)
	if !target.Known() {
		if newer := e.refreshed(routes); newer != nil {
			routes, target = newer, newer.rest.Find(r)
		}
	}
	if !target.Known() {
		e.noRoute(x, r, routes)
		return
	}
	x.become(restful)
	x.method = target.Method()
	if target.Uploads() { // bounded message by message
		x.body.limit = 0
		if r.Header["Content-Encoding"] == nil && isLines(media) {
			x.body.framing = lines
		}
	}
	code, own := target.Answer(w, r)
	x.code, x.coded = code, true
	if own {
		x.refusedREST()
	}
}

// refusedREST tells the log and the metrics why REST refused a request, so that its
// correlation ID is found.
func (x *exchange) refusedREST() {
	switch {
	case x.status == http.StatusRequestEntityTooLarge:
		x.refusal = refusedSize
	case x.status == http.StatusRequestTimeout:
		x.refusal = refusedSlowRead
		return // the guard has counted it
	case x.status == http.StatusMethodNotAllowed, x.status == http.StatusNotAcceptable, x.status == http.StatusUnsupportedMediaType:
		x.refusal = refusedProtocol
	case x.status >= http.StatusBadRequest && x.status < http.StatusInternalServerError:
		x.refusal = refusedMalformed
	default:
		return // what the service answers cannot be passed on: its line tells
	}
	x.edge.metrics.refused(x.refusal)
}

// isLines tells whether a body is lines of JSON, under the names that REST takes.
func isLines(media string) bool {
	return media == typeLines || media == "application/jsonl" || media == "application/ndjson"
}

// become tells what a request turned out to be.
func (x *exchange) become(p protocol) {
	m := x.edge.metrics
	m.inFlight[x.protocol].Dec()
	x.protocol = p
	m.inFlight[p].Inc()
}

// Where the description of REST is, and the page that shows it.
const (
	documentPath = "/openapi.json"
	docsPath     = "/docs"
)

// serveAdded serves the description of REST and what a main added; false: the
// request is for neither.
func (e *Edge) serveAdded(x *exchange, w http.ResponseWriter, r *http.Request, routes *routes) bool {
	switch r.URL.Path {
	case documentPath:
		x.become(openAPI)
		if x.reads() {
			routes.serveDocument(w, r)
		}
		return true
	case docsPath:
		x.become(openAPI)
		if x.reads() {
			e.docs.ServeHTTP(w, r)
		}
		return true
	}
	if _, pattern := e.added.Handler(r); pattern == "" {
		return false
	}
	e.added.ServeHTTP(w, r)
	return true
}

// reads tells whether a request wants to read what can only be read, and answers
// one that does not.
func (x *exchange) reads() bool {
	const allow = "GET, HEAD, OPTIONS"
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodOptions:
		x.Header().Set("Allow", allow)
		x.WriteHeader(http.StatusNoContent)
	default:
		x.Header().Set("Allow", allow)
		x.refuse(refusedUnknown, http.StatusMethodNotAllowed,
			errs.Unimplemented(ReasonMethodNotAllowed, "%q is not served for HTTP method %s; it is for %s", x.r.URL.Path, x.r.Method, allow).
				With(errs.Meta("allow", allow)))
	}
	return false
}

// serveDocument serves the description of REST.
func (r *routes) serveDocument(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", r.etag)
	h.Set("Content-Type", typeJSON)
	http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(r.document))
}
