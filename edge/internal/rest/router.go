package rest

import (
	"net/http"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
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
	// Opening is how long an event stream waits for its first message or its
	// error before it answers 200. Zero: 100 ms.
	Opening time.Duration
	// Reconnect is what event streams tell browsers to wait before they connect
	// again. Zero: 2 s.
	Reconnect time.Duration
	// RequestHeaders are the headers that become request metadata besides those
	// that always do; one that ends in "*" stands for all with that prefix.
	RequestHeaders []string
	// ResponseHeaders are the metadata of answers, headers and trailers, that
	// become response headers besides those that always do; as above.
	ResponseHeaders []string
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
	config Config
}

// New makes the router of a contract. The router is never nil and serves all
// routes that are right; the error, if there is one, says everything that is
// wrong with the others: rules that do not parse or name fields that are not
// there, and of two routes that are the same which two methods have them (the
// first by service and method name is served).
func New(c Config) (*Router, error) { return &Router{config: c}, nil }

// Match says which method a request would reach, as "/package.Service/Method".
// known is true when its path is one of the router's, with procedure empty when
// the HTTP method is not: the answer is 405 then, with Allow.
func (rt *Router) Match(r *http.Request) (procedure string, known bool) { return "", false }

// Routes returns all routes, in the order of services and methods.
func (rt *Router) Routes() []Route { return nil }

// ServeHTTP answers a request, also one that no route matches (404).
func (rt *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rt.Error(w, r, nil)
}

// Error answers a request with an error in the router's form: for whoever
// refuses requests before they come here.
func (rt *Router) Error(w http.ResponseWriter, r *http.Request, err error) {
	http.Error(w, "", http.StatusNotFound)
}
