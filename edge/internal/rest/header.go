package rest

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/keelson-dev/keelson/call"
)

// correlationHeader is [call.CorrelationKey] as a header.
const correlationHeader = "X-Correlation-Id"

// isRequestHeader names the headers that always become request metadata.
func isRequestHeader(name string) bool {
	switch name {
	case "Authorization", "X-Api-Key", "Traceparent", "Tracestate", "Accept-Language", "User-Agent":
		return true
	}
	return false
}

// isResponseHeader names the metadata that always become response headers: those
// of rate limits (draft-ietf-httpapi-ratelimit-headers), of authentication, and
// of an interface's end of life (RFC 9745, RFC 8594).
func isResponseHeader(name string) bool {
	switch name {
	case "Ratelimit", "Ratelimit-Policy", "Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset",
		"Retry-After", "Www-Authenticate", "Content-Language", "Server-Timing", "Deprecation", "Sunset", "Link":
		return true
	}
	return false
}

// NeverPasses tells whether a header, by its canonical name, is one that no
// configuration passes on.
func NeverPasses(name string) bool { return isNeverHeader(name) || name == correlationHeader }

// isNeverHeader names what no configuration passes on: headers that are hop by
// hop (RFC 9110, 7.6.1), that describe a body which is made anew, or that are
// gRPC's own.
func isNeverHeader(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Host",
		"Content-Length", "Content-Type", "Content-Encoding", "Date", "Set-Cookie":
		return true
	}
	return strings.HasPrefix(name, "Grpc-")
}

// headerSet is a set of header names in their canonical form.
type headerSet struct {
	exact    map[string]bool
	prefixes []string
}

// newHeaderSet reads names; one that ends in "*" is a prefix.
func newHeaderSet(names []string) headerSet {
	s := headerSet{exact: map[string]bool{}}
	for _, n := range names {
		if prefix, ok := strings.CutSuffix(n, "*"); ok {
			s.prefixes = append(s.prefixes, http.CanonicalHeaderKey(prefix))
			continue
		}
		s.exact[http.CanonicalHeaderKey(n)] = true
	}
	return s
}

func (s headerSet) has(name string) bool {
	if s.exact[name] {
		return true
	}
	for _, p := range s.prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// metadata returns the header of the call for a request.
func (rt *Router) metadata(r *http.Request, correlationID string) http.Header {
	h := make(http.Header, 8)
	for name, values := range r.Header {
		if isNeverHeader(name) || !isRequestHeader(name) && !rt.request.has(name) {
			continue
		}
		for _, v := range values {
			if isMetadata(name, v) {
				h[name] = append(h[name], v)
			}
		}
	}
	h[correlationHeader] = []string{correlationID}
	return h
}

// isMetadata tells whether gRPC takes a value: printable ASCII, or base64 for
// binary keys. Others would fail the call further on.
func isMetadata(name, value string) bool {
	if strings.HasSuffix(name, "-Bin") {
		_, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
		return err == nil
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// copyHeaders puts the metadata of an answer into the response header.
func (rt *Router) copyHeaders(to http.Header, metadata ...http.Header) {
	for _, md := range metadata {
		for name, values := range md {
			if isNeverHeader(name) || !isResponseHeader(name) && !rt.response.has(name) {
				continue
			}
			to[name] = append([]string(nil), values...)
		}
	}
}

// correlationID takes the caller's correlation ID when it is valid and makes one
// otherwise, so that it is known before the call answers.
func correlationID(r *http.Request) string {
	if id := r.Header.Get(correlationHeader); call.ValidCorrelationID(id) {
		return id
	}
	return call.NewCorrelationID()
}

// correlate takes the correlation ID that the server knows the call by, which is
// another one only if it did not take ours.
func (x *exchange) correlate(trailer http.Header) {
	if id := trailer.Get(correlationHeader); call.ValidCorrelationID(id) {
		x.id = id
	}
}
