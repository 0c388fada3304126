package edge

import (
	"fmt"
	"net/http"
	"time"
)

// The values that all answers share.
var (
	nosniff     = []string{"nosniff"}
	noReferrer  = []string{"no-referrer"}
	sameOrigin  = []string{"same-origin"}
	nothingElse = []string{"default-src 'none'; frame-ancestors 'none'"}
)

// strictTransport is the value of Strict-Transport-Security (RFC 6797); nil: not
// sent.
func strictTransport(d time.Duration) []string {
	if d < time.Second {
		return nil
	}
	return []string{fmt.Sprintf("max-age=%d", int64(d.Seconds()))}
}

// secure sets the headers that tell browsers not to trust an answer further than it
// asks for. A handler may replace the Content-Security-Policy.
func (e *Edge) secure(h http.Header, tls bool) {
	h["X-Content-Type-Options"] = nosniff
	h["Referrer-Policy"] = noReferrer
	h["Cross-Origin-Opener-Policy"] = sameOrigin
	h["Content-Security-Policy"] = nothingElse
	if tls && e.hsts != nil {
		h["Strict-Transport-Security"] = e.hsts
	}
}
