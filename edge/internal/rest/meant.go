package rest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// slips are ways to write a path that is meant but not said, and what to tell
// whoever does.
var slips = [...]struct {
	mend *strings.Replacer
	tell string
}{
	{strings.NewReplacer(), "slashes are not doubled and do not end a path"},
	{strings.NewReplacer("%2F", "/", "%2f", "/"), "between segments a slash is not percent-encoded"},
	{strings.NewReplacer("%3A", ":", "%3a", ":"), "the colon before a verb is not percent-encoded"},
	{strings.NewReplacer("%2F", "/", "%2f", "/", "%3A", ":", "%3a", ":"), "neither the slashes between segments nor the colon before a verb are percent-encoded"},
}

// meant tells of the path that a request which has no route may mean: one that has
// a route for it, or for another HTTP method where those matter not.
func (rt *Router) meant(r *http.Request, whichever bool) string {
	path := r.URL.EscapedPath()
	if len(path) > maxMeant {
		return ""
	}
	other := ""
	for _, slip := range slips {
		clean := tidy(slip.mend.Replace(path))
		u, err := url.Parse(clean)
		if err != nil || clean == path || clean == "" {
			continue
		}
		m := rt.lookup(&http.Request{Method: r.Method, URL: u})
		tell := fmt.Sprintf("; did you mean %q? In a path %s", clean, slip.tell)
		if m.route != nil {
			return tell
		}
		if whichever && len(m.allow) > 0 {
			other = cmp.Or(other, tell)
		}
	}
	return other
}

// maxMeant is how long a path may be to be thought about, in bytes.
const maxMeant = 1 << 10

// tidy leaves out empty segments.
func tidy(path string) string {
	var b strings.Builder
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "" {
			b.WriteString("/" + segment)
		}
	}
	return b.String()
}
