package edge

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/keelson-dev/keelson/errs"
)

// serveNative passes a gRPC call on to the service as it is.
func (e *Edge) serveNative(x *exchange, r *http.Request) {
	if !x.h2 {
		e.refuseVersion(x)
		return
	}
	if !strings.Contains(strings.TrimPrefix(r.URL.Path, "/"), "/") { // gRPC answers that in words alone
		path := r.URL.Path[:min(len(r.URL.Path), maxLoggedPath)]
		x.refuse(refusedUnknown, http.StatusOK, errs.Unimplemented(errs.ReasonMethodUnknown, "%q names no method; a call is of /SERVICE/METHOD", path))
		return
	}
	x.body.framing = prefixed
	w := &nativeWriter{exchange: x}
	e.service.ServeHTTP(w, r)
	x.observe(x.Header())
	w.finish()
}

// refuseVersion answers a gRPC call that came over HTTP/1.1, which cannot carry it.
func (e *Edge) refuseVersion(x *exchange) {
	hint := "speak HTTP/2 over TLS"
	if x.r.TLS == nil {
		hint = "speak HTTP/2 (the operator permits it without TLS by edge.h2c: true)"
	}
	x.protocol = other // nobody who speaks HTTP/1.1 reads gRPC's answer
	x.refuse(refusedVersion, http.StatusHTTPVersionNotSupported,
		errs.Unimplemented(ReasonHTTPVersion, "gRPC needs HTTP/2, and this request came over HTTP/1.1: %s, or use gRPC-Web, Connect or REST", hint))
}

// nativeWriter is what the service answers a gRPC call to. gRPC over net/http sends
// the header by itself before a status that comes alone, after which no client
// retries; this sends both as one, as gRPC's own server does (Trailers-Only in
// PROTOCOL-HTTP2.md). Nor does that announce the names of its trailers: who is told of
// a grpc-status and then ends the call would miss it.
type nativeWriter struct {
	*exchange
	begun bool // something was written
}

// Unwrap implements what [http.ResponseController] looks for.
func (n *nativeWriter) Unwrap() http.ResponseWriter { return n.exchange }

// WriteHeader implements http.ResponseWriter.
func (n *nativeWriter) WriteHeader(code int) {
	n.begun = true
	delete(n.Header(), "Trailer")
	n.exchange.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (n *nativeWriter) Write(p []byte) (int, error) {
	if !n.begun {
		n.WriteHeader(http.StatusOK)
	}
	return n.exchange.Write(p)
}

// Flush implements http.Flusher. Before anything was written it waits for what
// comes.
func (n *nativeWriter) Flush() {
	if n.begun {
		n.exchange.Flush()
	}
}

// finish completes an answer: with its trailer, or where nothing was written with a
// header that is one.
func (n *nativeWriter) finish() {
	h := n.Header()
	if h["Grpc-Status"] == nil {
		return // net/http's own words, or the call was broken off
	}
	for k, v := range h {
		name, trailer := strings.CutPrefix(k, http.TrailerPrefix)
		switch {
		case !n.begun && trailer:
			delete(h, k)
			h[textproto.CanonicalMIMEHeaderKey(name)] = v
		case n.begun && isStatus(k):
			delete(h, k)
			h[http.TrailerPrefix+k] = v
		}
	}
	if !n.begun {
		n.WriteHeader(http.StatusOK)
	}
}

// isStatus tells whether a name is one of those that hold gRPC's status.
func isStatus(name string) bool {
	return name == "Grpc-Status" || name == "Grpc-Message" || name == "Grpc-Status-Details-Bin"
}
