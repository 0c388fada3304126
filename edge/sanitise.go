package edge

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"

	"github.com/keelson-dev/keelson/call"
)

const (
	headerCorrelation = "X-Correlation-Id"
	headerParent      = "Traceparent"
	headerForwarded   = "X-Forwarded-For"
)

// sanitise drops what only the platform may say from the header of a request from
// outside, takes the client's address from proxies that are trusted, and returns
// the request's correlation ID as a header value.
func (e *Edge) sanitise(r *http.Request) []string {
	h := r.Header
	trusted := len(e.proxies) > 0 && e.proxies.trust(addressOf(r.RemoteAddr))
	if v := h["Connection"]; v != nil {
		dropNamed(h, v)
	}
	for k := range h {
		if platformOnly(k) || !trusted && forwardedHeader(k) {
			delete(h, k)
		}
	}
	if v := h["Te"]; len(v) > 0 && (len(v) != 1 || v[0] != "trailers") {
		delete(h, "Te")
	}
	if e.cfg.IgnoreTraceparent {
		delete(h, headerParent)
	}
	if v := h["Grpc-Timeout"]; v != nil && unbounded(v) {
		delete(h, "Grpc-Timeout")
	}
	if trusted {
		e.believe(r)
	}
	id := h[headerCorrelation]
	if len(id) != 1 || !call.ValidCorrelationID(id[0]) {
		id = []string{call.NewCorrelationID()}
		h[headerCorrelation] = id
	}
	return id
}

// believe takes the client's address from X-Forwarded-For, and leaves there what
// was believed only.
func (e *Edge) believe(r *http.Request) {
	client := e.proxies.client(r.Header[headerForwarded])
	if !client.IsValid() {
		delete(r.Header, headerForwarded)
		return
	}
	r.Header[headerForwarded] = []string{client.String()}
	r.RemoteAddr = netip.AddrPortFrom(client, 0).String() // the client's port is not known
}

// platformOnly tells whether a header, by its canonical name, is one that only the
// platform may set (it would be taken for a peer's, or for gRPC's own), or concerns
// the connection alone (RFC 9110, section 7.6.1).
func platformOnly(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Trailer", "Transfer-Encoding", "Upgrade",
		"Baggage", "Tracestate",
		"Grpc-Previous-Rpc-Attempts", "Grpc-Retry-Pushback-Ms", "Grpc-Tags-Bin", "Grpc-Trace-Bin", "Grpc-Server-Stats-Bin",
		"X-Real-Ip", "X-Forwarded-Client-Cert":
		return true
	}
	if isStatus(name) {
		return true
	}
	if len(name) < 4 || name[:2] != "X-" {
		return false
	}
	return strings.HasSuffix(name, "-Internal") || strings.HasPrefix(name, "X-Keelson-") ||
		strings.HasPrefix(name, "X-Chassis-") || strings.HasPrefix(name, "X-Envoy-")
}

// forwardedHeader tells whether a header, by its canonical name, says what a proxy
// knows of the client.
func forwardedHeader(name string) bool {
	return strings.HasPrefix(name, "X-Forwarded-") || name == "Forwarded"
}

// dropNamed drops the headers that Connection declares to be the connection's.
// Those that this end reads stay, so that nobody can have them taken away.
func dropNamed(h http.Header, connection []string) {
	for _, list := range connection {
		for list != "" {
			var name string
			name, list, _ = strings.Cut(list, ",")
			switch name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); name {
			case headerForwarded, headerCorrelation, "Content-Type", "Content-Encoding", "Origin", "Sec-Fetch-Site", "Authorization", "If-Match", "Te":
			default:
				delete(h, name)
			}
		}
	}
}

// unbounded tells whether a grpc-timeout is so long that it is none: more hours than
// gRPC implementations take.
func unbounded(v []string) bool {
	const hours = 8
	t := v[0]
	if len(v) != 1 || len(t) < 2 || len(t) > 9 || t[len(t)-1] != 'H' {
		return false
	}
	n := 0
	for i := range len(t) - 1 {
		if t[i] < '0' || t[i] > '9' {
			return false
		}
		n = n*10 + int(t[i]-'0')
	}
	return n > hours
}
