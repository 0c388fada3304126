package edge

import (
	"net/http"
	"strings"
)

// Option adds behaviour to an [Edge]; data is in [Config].
type Option interface{ apply(*options) }

type options struct {
	handlers []addedHandler
}

type addedHandler struct {
	pattern string
	handler http.Handler
}

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithHandler serves a handler of your own, such as a console under /console/, at
// a pattern of [http.ServeMux]. It has the edge's limits and headers; it may replace
// the Content-Security-Policy of its answers. Patterns come before REST; one that
// takes every path ("/") is refused by [New], since REST would never be asked:
// "/{$}" is the root alone.
func WithHandler(pattern string, h http.Handler) Option {
	return optionFunc(func(o *options) { o.handlers = append(o.handlers, addedHandler{pattern, h}) })
}

// takesAll tells whether a pattern takes every path.
func takesAll(pattern string) bool {
	if _, path, ok := strings.Cut(pattern, " "); ok { // METHOD [HOST]/[PATH]
		pattern = strings.TrimLeft(path, " \t")
	}
	path := pattern[max(strings.IndexByte(pattern, '/'), 0):]
	return path == "/" || strings.HasPrefix(path, "/{") && strings.HasSuffix(path, "...}") && strings.Count(path, "/") == 1
}
