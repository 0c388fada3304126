package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Info says what the document describes. The zero value works.
type Info struct {
	// Title is the API's name. Default: the names of its services.
	Title string
	// Version is the API's version, not OpenAPI's. Default: "v1".
	Version string
	// Summary is one sentence, Description a text in CommonMark. Default: none.
	Summary, Description string
	// License is the name of the licence of the API, and LicenseURL where it is
	// written. Default: none.
	License, LicenseURL string
	// Contact is whom to ask, and ContactURL where. Default: none.
	Contact, ContactURL string
}

// Option changes what Document writes.
type Option interface{ apply(*options) }

// options is what the options of a call come to.
type options struct {
	servers   []server
	security  []scheme
	elsewhere func(path string) bool
}

// server is one address of the API.
type server struct{ url, description string }

// scheme is one way of saying who calls.
type scheme struct{ name, kind, where, key, bearer string }

type optionFunc func(*options)

func (f optionFunc) apply(o *options) { f(o) }

// WithServer adds an address at which the API is served, such as
// https://api.example.com. Without one the document means the address that it
// came from.
func WithServer(url, description string) Option {
	return optionFunc(func(o *options) { o.servers = append(o.servers, server{url, description}) })
}

// WithAPIKey says that callers may send a key in a header.
func WithAPIKey(header string) Option {
	return optionFunc(func(o *options) {
		o.security = append(o.security, scheme{name: "apiKey", kind: "apiKey", where: "header", key: header})
	})
}

// WithBearer says that callers may send a bearer token of a format such as JWT
// (RFC 6750).
func WithBearer(format string) Option {
	return optionFunc(func(o *options) {
		o.security = append(o.security, scheme{name: "bearer", kind: "http", bearer: format})
	})
}

// WithoutPaths leaves out the operations of paths that something else serves, and
// names them in the error. A path is asked for as the document has it, such as
// /v1/users/{user}.
func WithoutPaths(elsewhere func(path string) bool) Option {
	return optionFunc(func(o *options) { o.elsewhere = elsewhere })
}

// Document returns the OpenAPI 3.1 document of services as JSON. The same
// services give the same bytes, in whatever order they come. It takes a few
// milliseconds: keep what it returns for as long as the services stay the same.
//
// A binding that cannot be described (a path that does not parse, a field that
// the request does not have, an HTTP method that OpenAPI has no place for, a
// path and method that another binding has already) is left out and named by
// the error; the document is then whole without it. It is nil only with an
// error that says why.
func Document(services []protoreflect.ServiceDescriptor, info Info, opts ...Option) ([]byte, error) {
	w := &writer{
		schemas:  newSchemas(),
		failures: map[int]bool{},
		taken:    map[string]string{},
		paths:    &paths{names: map[string][]string{}, resources: map[string][]string{}},
	}
	for _, o := range opts {
		o.apply(&w.options)
	}
	w.services = ordered(services)
	items, faults := w.items()
	document := newObject("openapi", "3.1.0", "info", w.info(info)).
		add("servers", w.servers()).
		add("security", w.security()).
		add("tags", w.tags()).
		set("paths", items).
		add("components", w.components())
	compact, err := document.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		return nil, fmt.Errorf("indent the OpenAPI document: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), faults
}

// ordered returns services by name, each once.
func ordered(services []protoreflect.ServiceDescriptor) []protoreflect.ServiceDescriptor {
	sorted := slices.DeleteFunc(slices.Clone(services), func(s protoreflect.ServiceDescriptor) bool { return s == nil })
	slices.SortStableFunc(sorted, func(a, b protoreflect.ServiceDescriptor) int { return cmp.Compare(a.FullName(), b.FullName()) })
	return slices.CompactFunc(sorted, func(a, b protoreflect.ServiceDescriptor) bool { return a.FullName() == b.FullName() })
}
