package rest

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// Config says what a [Router] serves and how. Handler is required; the zero
// value of everything else works.
type Config struct {
	// Services are the services whose methods have google.api.http rules; a
	// method without one is not served. Their Go types need not be linked.
	Services []protoreflect.ServiceDescriptor
	// Handler serves gRPC: each request becomes one call to it.
	Handler http.Handler
	// Domain is that of the ErrorInfo in errors that the router makes itself.
	// Empty: the full name of the service, or "rest" where no route matched.
	Domain string
	// MaxRequest is the most bytes of a request body, after decompression, and of
	// one line of an upload. Zero: 4 MiB, as gRPC's own limit.
	MaxRequest int64
	// MaxBuffered is how many bytes of results wait for a client that still
	// uploads before the upload waits. Zero: 4 MiB.
	MaxBuffered int
	// Heartbeat is how often an event stream says that it lives while nothing
	// happens. Zero: 15 s.
	Heartbeat time.Duration
	// Opening is how long a stream waits for its first message or its error before
	// it answers 200. Zero: 100 ms.
	Opening time.Duration
	// Reconnect is what event streams tell browsers to wait before they connect
	// again. Zero: 2 s.
	Reconnect time.Duration
	// Idle is how long the client of an upload may send nothing while nothing is
	// written to it either, where the .proto of the method has no idle_timeout. Zero:
	// as long as it likes.
	Idle time.Duration
	// WriteTimeout is how long the client of a stream may take to read what is
	// written to it; then it is cut. Zero: as long as it likes, whoever made the
	// writer looks after it.
	WriteTimeout time.Duration
	// RequestHeaders are the headers that become request metadata besides those
	// that always do; one that ends in "*" stands for all with that prefix.
	RequestHeaders []string
	// ResponseHeaders are the metadata of answers, headers and trailers, that
	// become response headers besides those that always do; as above.
	ResponseHeaders []string
	// Index is what a client is told that asks for a path which is not served,
	// such as where the routes are listed. Empty: nothing.
	Index string
}

// withDefaults returns the configuration with what is zero filled in.
func (c Config) withDefaults() Config {
	const mebibyte = 1 << 20
	c.MaxRequest = cmp.Or(c.MaxRequest, 4*mebibyte)
	c.MaxBuffered = cmp.Or(c.MaxBuffered, 4*mebibyte)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.Opening = cmp.Or(c.Opening, 100*time.Millisecond)
	c.Reconnect = cmp.Or(c.Reconnect, 2*time.Second)
	return c
}

// Route is one way to reach a method.
type Route struct {
	// Verb is the HTTP method; "*" stands for any.
	Verb string
	// Template is the path as in the rule.
	Template string
	// Method is what is called.
	Method protoreflect.MethodDescriptor
}

// Router is an [http.Handler] for the routes of a contract. It is immutable and
// safe for concurrent use; when the contract changes a new one is made.
type Router struct {
	config            Config
	root              node
	routes            []*route
	request, response headerSet
	encode            encoder // for what has no route
}

// New makes the router of a contract. The router is never nil and serves all
// routes that are right; the error, if there is one, says everything that is
// wrong with the others: rules that do not parse or name fields that are not
// there, and of two routes that are the same which two methods have them (the
// first by service and method name is served).
func New(c Config) (*Router, error) {
	opaque, err := newOpaque()
	faults := []error{err}
	rt := &Router{
		config: c.withDefaults(), encode: encoder{NewTypes(nil), opaque},
		request: newHeaderSet(c.RequestHeaders), response: newHeaderSet(c.ResponseHeaders),
	}
	services := slices.SortedFunc(slices.Values(c.Services), func(a, b protoreflect.ServiceDescriptor) int {
		return cmp.Compare(a.FullName(), b.FullName())
	})
	for _, sd := range services {
		types := NewTypes(sd)
		for i := range sd.Methods().Len() {
			if err := rt.add(sd.Methods().Get(i), types); err != nil {
				faults = append(faults, fmt.Errorf("method %s: %w", sd.Methods().Get(i).FullName(), err))
			}
		}
	}
	rt.locate()
	return rt, errors.Join(faults...)
}

// add adds the routes of a method.
func (rt *Router) add(md protoreflect.MethodDescriptor, types *Types) error {
	rules, err := options(md)
	if err != nil {
		return err
	}
	var faults []error
	for _, rule := range rules {
		r, err := newRoute(md, rule)
		if err == nil {
			if taken := rt.root.add(r); taken != nil {
				err = fmt.Errorf("%s is the same route as %s of %s, which is served; give one of them another path", r, taken, taken.method.FullName())
			}
		}
		if err != nil {
			faults = append(faults, err)
			continue
		}
		r.decode, r.encode = decoder{types: types}, encoder{types, rt.encode.opaque}
		rt.routes = append(rt.routes, r)
	}
	return errors.Join(faults...)
}

// locate finds for each route that creates the one that reads what was created:
// a GET of the same resource by its name alone.
func (rt *Router) locate() {
	for _, r := range rt.routes {
		if !r.creates {
			continue
		}
		for _, other := range rt.routes {
			if other.verb == http.MethodGet && !other.streamsOut() && len(other.variables) == 1 &&
				other.variables[0].String() == "name" && other.method.Output() == r.method.Output() {
				r.location = other
				break
			}
		}
	}
}

// Target is what a request was found to be for.
type Target struct {
	router *Router
	found  match
}

// Find finds the route of a request.
func (rt *Router) Find(r *http.Request) Target { return Target{rt, rt.lookup(r)} }

// Known tells whether the path is one of the router's. The HTTP method need not be:
// the answer is 405 then, with Allow.
func (t Target) Known() bool { return t.found.route != nil || len(t.found.allow) > 0 }

// Uploads tells whether the body is a stream, which may be longer than
// [Config].MaxRequest and last as long as the call.
func (t Target) Uploads() bool { return t.found.route != nil && t.found.route.streamsIn() }

// Method is what the request calls, or would by another HTTP method; nil: nothing.
func (t Target) Method() protoreflect.MethodDescriptor {
	if t.found.route != nil {
		return t.found.route.method
	}
	for _, a := range t.found.allow {
		if a.route != nil {
			return a.route.method
		}
	}
	return nil
}

// Answer answers the request, also one that no route matches (404), and returns the
// code that the client was told, of the call or of the error in its place, and
// whether the answer is an error that the router found, and not the service.
func (t Target) Answer(w http.ResponseWriter, r *http.Request) (code codes.Code, own bool) {
	rt, m := t.router, t.found
	x := rt.exchange(w, r)
	x.route, x.raw = m.route, m.raw
	switch {
	case m.route != nil:
		x.serve()
	case len(m.allow) == 0:
		x.fail(wrong(rt.NotFound(r)))
	case r.Method == http.MethodOptions:
		w.Header().Set("Allow", m.verbs())
		w.Header().Set(correlationHeader, x.id)
		w.WriteHeader(http.StatusNoContent)
	default:
		x.fail(rt.notAllowed(r, m))
	}
	return x.code, x.own
}

// Routes returns all routes, in the order of services and methods.
func (rt *Router) Routes() []Route {
	all := make([]Route, len(rt.routes))
	for i, r := range rt.routes {
		all[i] = Route{r.verb, r.template.text, r.method}
	}
	return all
}

// ServeHTTP implements http.Handler: it finds the route of a request and answers.
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.Find(r).Answer(w, r) }

// exchange begins the answer to a request. Whether it can be answered, and in which
// form, always depends on Accept.
func (rt *Router) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	w.Header().Add("Vary", "Accept")
	return &exchange{rt: rt, w: w, r: r, id: correlationID(r), accept: parseAccept(r.Header)}
}

// Error answers a request with a status in the router's form, also as problem
// details if the client wants them: for whoever refuses requests before they
// come here. code is the HTTP status; zero: that of the status.
func (rt *Router) Error(w http.ResponseWriter, r *http.Request, code int, st *status.Status) {
	rt.exchange(w, r).failWith(st, code)
}

// NotFound is the error for a path that is not served. It says which one is, if
// there is one that is meant.
func (rt *Router) NotFound(r *http.Request) *errs.Error {
	path := r.URL.EscapedPath()
	return errs.NotFound(ReasonRouteNotFound, "there is nothing at %s%s", quoted(path), cmp.Or(rt.meant(r, true), rt.config.Index)).
		With(errs.Meta("path", path[:min(len(path), maxMeant)]))
}

// notAllowed says for which HTTP methods a path is served, and what each calls.
func (rt *Router) notAllowed(r *http.Request, m match) *fault {
	said := make([]string, len(m.allow))
	for i, a := range m.allow {
		said[i] = a.verb
		if a.route != nil {
			said[i] += " (" + string(a.route.method.Name()) + ")"
		}
	}
	e := errs.Unimplemented(ReasonMethodNotAllowed, "%s is not served for HTTP method %s; it is for %s%s",
		quoted(r.URL.EscapedPath()), r.Method, strings.Join(said, ", "), rt.meant(r, false))
	return &fault{
		http: http.StatusMethodNotAllowed, header: http.Header{"Allow": {m.verbs()}}, err: e.With(errs.Meta("allow", m.verbs())),
	}
}
