package rest

import (
	"bytes"
	"net/http"

	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
)

// CheckTemplate parses a template.
func CheckTemplate(text string) error {
	_, err := parseTemplate(text)
	return err
}

// Expand makes the path of values by a template; ok is false when it does not
// parse or they do not fit.
func Expand(text string, values []string) (path string, ok bool) {
	t, err := parseTemplate(text)
	if err != nil || len(values) != len(t.variables) {
		return "", false
	}
	return t.expand(values)
}

// Capture matches a path with a template alone, and returns what it captures.
func Capture(text, path string) (values []string, ok bool) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, false
	}
	rt := &Router{}
	rt.root.add(&route{verb: http.MethodGet, template: t})
	u, err := http.NewRequest(http.MethodGet, path, nil)
	if err != nil {
		return nil, false
	}
	m := rt.lookup(u)
	if m.route == nil {
		return nil, false
	}
	for i := range t.variables {
		v, err := t.variables[i].captured(t, m.raw)
		if err != nil {
			return nil, false
		}
		values = append(values, v)
	}
	return values, true
}

// Variables returns how many variables a template has.
func Variables(text string) int {
	t, err := parseTemplate(text)
	if err != nil {
		return -1
	}
	return len(t.variables)
}

// Fill fills the request of a method's first rule from a body and a query.
func (rt *Router) Fill(method, query string, body []byte) (proto.Message, error) {
	for _, r := range rt.routes {
		if string(r.method.Name()) != method {
			continue
		}
		m := r.in.New()
		bad := r.decode.body(m, r.bodyField, document{raw: body, line: 1})
		bad.join(r.fillQuery(m, query))
		if f := bad.fault(); f != nil {
			return nil, f.err
		}
		r.fillMask(m, body)
		return m.Interface(), nil
	}
	return nil, errs.NotFound("X", "no %s", method)
}

// JSON writes a message of the first service.
func (rt *Router) JSON(m proto.Message) ([]byte, error) { return rt.routes[0].encode.message(m) }

// Quality parses Accept and returns how much a type is wanted.
func Quality(header, mediaType string) float64 {
	q, _ := parseAccept(http.Header{"Accept": {header}}).quality(mediaType)
	return q
}

// Tags parses a condition and writes its tags.
func Tags(header string) (tags []string, anything, ok bool) {
	l, ok := parseTags([]string{header})
	for _, t := range l.tags {
		tags = append(tags, t.String())
	}
	return tags, l.any, ok
}

// Lines reads all lines.
func Lines(body []byte, limit int64) (lines []string, err error) {
	r := newLineReader(bytes.NewReader(body), limit)
	for {
		line, err := r.next()
		if err != nil {
			return lines, err
		}
		lines = append(lines, string(line))
	}
}

// Match finds the method of a request; known tells whether its path is served.
func (rt *Router) Match(r *http.Request) (procedure string, known bool) {
	t := rt.Find(r)
	if t.found.route != nil {
		procedure = t.found.route.procedure
	}
	return procedure, t.Known()
}
