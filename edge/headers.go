package edge

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// mergeVary makes one line of what several said about the answer, each name once.
func mergeVary(h http.Header) {
	lines := h["Vary"]
	if len(lines) < 2 {
		return
	}
	var names []string
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.TrimSpace(name)
			if name != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
				names = append(names, name)
			}
		}
	}
	h["Vary"] = []string{strings.Join(names, ", ")}
}
