package edge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	connectcors "connectrpc.com/cors"
	"github.com/rs/cors"

	"github.com/keelson-dev/keelson/errs"
)

// crossOrigin decides what pages of other origins may do: those on the list may
// call, others get no permission, and what they send without asking for one (forms)
// is refused.
type crossOrigin struct {
	permit  *cors.Cors // nil: nobody
	protect http.CrossOriginProtection
	any     bool
	methods []string
	headers []string // that a page may send, in small letters
}

// newCrossOrigin checks the configuration and reports every fault.
func newCrossOrigin(all *Config) (*crossOrigin, error) {
	cfg := &all.CORS
	c := &crossOrigin{any: cfg.AnyOrigin}
	var faults []error
	for i, origin := range cfg.Origins {
		if err := checkOrigin(origin); err != nil {
			faults = append(faults, fmt.Errorf("edge.cors.origins[%d]: %w", i, err))
			continue
		}
		if err := c.protect.AddTrustedOrigin(origin); err != nil {
			faults = append(faults, fmt.Errorf("edge.cors.origins[%d]: %w", i, err))
		}
	}
	switch {
	case cfg.AnyOrigin && cfg.Credentials:
		faults = append(faults, errors.New("edge.cors.credentials: every page in every browser could act as its user, with edge.cors.any_origin; list the origins instead"))
	case cfg.AnyOrigin && len(cfg.Origins) > 0:
		faults = append(faults, errors.New("edge.cors.any_origin: there is a list too (edge.cors.origins); keep one of them"))
	}
	if len(faults) > 0 || !cfg.AnyOrigin && len(cfg.Origins) == 0 {
		return c, errors.Join(faults...)
	}
	origins := cfg.Origins
	if cfg.AnyOrigin {
		origins = []string{"*"}
	}
	c.methods = append(connectcors.AllowedMethods(), http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete)
	for _, name := range slices.Concat(connectcors.AllowedHeaders(), sentByPages(), all.RequestHeaders) {
		c.headers = append(c.headers, strings.ToLower(name))
	}
	c.permit = cors.New(cors.Options{
		AllowedOrigins: origins, AllowCredentials: cfg.Credentials, MaxAge: int(cfg.MaxAge.Seconds()),
		AllowedMethods: c.methods, AllowedHeaders: c.headers,
		ExposedHeaders: slices.Concat(connectcors.ExposedHeaders(), readByPages(), all.ResponseHeaders),
	})
	return c, nil
}

// sentByPages are the headers of requests that this package knows, besides those of
// the protocols. Some are dropped further on: a page that sends them is served.
func sentByPages() []string {
	return []string{
		"Accept", "Authorization", "Baggage", "Connect-Accept-Encoding", "Connect-Content-Encoding", "Content-Encoding", "Grpc-Accept-Encoding", "Grpc-Encoding",
		"If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "Traceparent", "Tracestate", "X-Api-Key", "X-Correlation-Id", "X-Server-Timeout",
	}
}

// readByPages are those of answers.
func readByPages() []string {
	return []string{
		"Allow", "Connect-Content-Encoding", "Deprecation", "ETag", "Grpc-Encoding", "Link", "Location", "RateLimit", "RateLimit-Limit", "RateLimit-Policy",
		"RateLimit-Remaining", "RateLimit-Reset", "Retry-After", "Sunset", "WWW-Authenticate", "X-Correlation-Id",
	}
}

// checkOrigin tells what is wrong with an origin.
func checkOrigin(origin string) error {
	if origin == "*" {
		return errors.New(`"*" would let every page in every browser call; list the origins, or set edge.cors.any_origin: true if that is what you want`)
	}
	u, err := url.Parse(origin)
	switch {
	case strings.Contains(origin, "*"):
		return fmt.Errorf("%q has a wildcard, and who controls one host below it controls all; list the origins one by one", origin)
	case err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host:
		return fmt.Errorf("%q is no origin; write scheme://host or scheme://host:port, as in https://app.example.com", origin)
	}
	return nil
}

// check looks at a request before it goes further. It answers preflights itself,
// and refuses what a page may not send; true: the request is answered.
func (c *crossOrigin) check(x *exchange, r *http.Request) bool {
	if c.permit != nil {
		x.Header()["Vary"] = varyOrigin // so that no cache serves one origin's answer to another
	}
	if r.Header["Origin"] == nil && r.Header["Sec-Fetch-Site"] == nil {
		return false
	}
	allowed := c.permit != nil && c.permit.OriginAllowed(r)
	switch preflight := r.Method == http.MethodOptions && r.Header["Access-Control-Request-Method"] != nil; {
	case preflight && !allowed:
		x.refuse(refusedOrigin, http.StatusForbidden, originRefused("ask to call this service"))
		return true
	case preflight:
		c.preflight(x, r)
		return true
	case !allowed || c.any && simple(r):
		if c.protect.Check(r) != nil {
			x.refuse(refusedCrossSite, http.StatusForbidden, originRefused("send this request"))
			return true
		}
	}
	if allowed && r.Header["Origin"] != nil {
		c.permit.HandlerFunc(x, r)
	}
	return false
}

// preflight answers a page of a permitted origin that asks what it may send.
func (c *crossOrigin) preflight(x *exchange, r *http.Request) {
	var names []string
	if v := r.Header["Access-Control-Request-Headers"]; len(v) > 0 { // browsers sort them, people do not
		names = strings.Split(strings.ToLower(strings.Join(v, ",")), ",")
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		slices.Sort(names)
		r.Header["Access-Control-Request-Headers"] = []string{strings.Join(slices.Compact(names), ",")}
	}
	c.permit.HandlerFunc(headerOnly{x}, r)
	if x.Header()["Access-Control-Allow-Origin"] == nil {
		x.refuse(refusedOrigin, http.StatusForbidden, c.notPermitted(r.Header.Get("Access-Control-Request-Method"), names))
		return
	}
	x.WriteHeader(http.StatusNoContent)
}

// notPermitted says what of a page's request is not.
func (c *crossOrigin) notPermitted(method string, headers []string) *errs.Error {
	if !slices.Contains(c.methods, method) {
		return errs.PermissionDenied(ReasonOriginNotAllowed, "pages of other origins may not use the HTTP method %s; they may use %s", quote(method), strings.Join(c.methods, ", "))
	}
	headers = slices.DeleteFunc(slices.Clone(headers), func(name string) bool { return slices.Contains(c.headers, name) })
	return errs.PermissionDenied(ReasonOriginNotAllowed, "pages of other origins may not send the headers %s; the operator lists those of services in edge.request_headers", quote(strings.Join(headers, ", ")))
}

// headerOnly keeps an answer from being sent before it is known which it is.
type headerOnly struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (headerOnly) WriteHeader(int) {}

// varyOrigin is shared by all answers.
var varyOrigin = []string{"Origin"}

// simple tells whether a page could have sent a request as a form, without the
// browser asking first (the Fetch standard, section 2.2.2).
func simple(r *http.Request) bool {
	switch contentType(r.Header) {
	case "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data":
		return true
	}
	return false
}

func originRefused(what string) *errs.Error {
	return errs.PermissionDenied(ReasonOriginNotAllowed, "pages of this origin may not %s; the operator lists origins in edge.cors.origins", what)
}
