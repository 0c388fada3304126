package rest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// node is a place in the tree of all templates. Which of several templates
// takes a path does not depend on the order in which they were added: segment by
// segment from the left a literal goes before "*", and "*" before "**"; a template
// with a verb goes before one without.
type node struct {
	literals map[string]*node
	single   *node
	deep     *node
	leaves   map[string]leaf // by verb (the part after the colon)
}

// leaf has the routes of one path, by HTTP method; "*" is any.
type leaf map[string]*route

// add puts a route into the tree, or returns the one that has its place.
func (n *node) add(r *route) (taken *route) {
	for _, s := range r.template.segments {
		n = n.child(s)
	}
	if n.leaves == nil {
		n.leaves = map[string]leaf{}
	}
	l := n.leaves[r.template.verb]
	if l == nil {
		l = leaf{}
		n.leaves[r.template.verb] = l
	}
	if taken := l[r.verb]; taken != nil {
		return taken
	}
	l[r.verb] = r
	return nil
}

func (n *node) child(s segment) *node {
	place := &n.single
	switch s.kind {
	case deep:
		place = &n.deep
	case literal:
		next := n.literals[s.text]
		if next == nil {
			next = &node{}
			if n.literals == nil {
				n.literals = map[string]*node{}
			}
			n.literals[s.text] = next
		}
		return next
	case single:
	}
	if *place == nil {
		*place = &node{}
	}
	return *place
}

// find visits the leaves that a path leads to, best first, until visit returns
// true.
func (n *node) find(decoded []string, verb string, visit func(leaf) bool) bool {
	if len(decoded) == 0 {
		if l := n.leaves[verb]; l != nil && visit(l) {
			return true
		}
	} else {
		if next := n.literals[decoded[0]]; next != nil && next.find(decoded[1:], verb, visit) {
			return true
		}
		if n.single != nil && n.single.find(decoded[1:], verb, visit) {
			return true
		}
	}
	if n.deep != nil {
		if l := n.deep.leaves[verb]; l != nil && visit(l) {
			return true
		}
	}
	return false
}

// match is what a path was found to be.
type match struct {
	route *route    // nil: none for this HTTP method
	raw   []string  // the segments, without the verb
	allow []allowed // HTTP methods of the path, when route is nil; empty: no such path
}

// allowed is an HTTP method that a path has, and what it leads to; nil: the router
// answers it.
type allowed struct {
	verb  string
	route *route
}

// verbs returns what goes into the header Allow.
func (m *match) verbs() string {
	verbs := make([]string, len(m.allow))
	for i, a := range m.allow {
		verbs[i] = a.verb
	}
	return strings.Join(verbs, ", ")
}

// lookup finds the route of a request.
func (rt *Router) lookup(r *http.Request) match {
	path := r.URL.EscapedPath()
	raw, decoded, ok := splitPath(path)
	if !ok {
		return match{}
	}
	m := match{}
	found := leaf{}
	last := len(raw) - 1
	try := func(verb string) bool {
		return rt.root.find(decoded, verb, func(l leaf) bool {
			m.route = l.of(r.Method)
			for verb, r := range l {
				if found[verb] == nil {
					found[verb] = r
				}
			}
			return m.route != nil
		})
	}
	whole, wholeDecoded := raw[last], decoded[last]
	if colon := strings.LastIndexByte(whole, ':'); colon > 0 {
		verb, err := decodeSegment(whole[colon+1:])
		head, errHead := decodeSegment(whole[:colon])
		if err == nil && errHead == nil && verb != "" {
			raw[last], decoded[last] = whole[:colon], head
			// A path with a verb is that of the verb, whatever the HTTP method.
			if try(verb) || len(found) > 0 {
				m.raw, m.allow = raw, found.allow(m.route)
				return m
			}
			raw[last], decoded[last] = whole, wholeDecoded
		}
	}
	try("")
	m.raw, m.allow = raw, found.allow(m.route)
	return m
}

// of returns the route for an HTTP method: HEAD is as GET (RFC 9110, 9.3.2).
func (l leaf) of(method string) *route {
	if r := l[method]; r != nil {
		return r
	}
	if r := l[http.MethodGet]; r != nil && method == http.MethodHead {
		return r
	}
	if method == http.MethodOptions {
		return nil // answered by the router
	}
	return l[anyVerb]
}

// allow returns the HTTP methods of a path, sorted, when none of them is the
// request's.
func (l leaf) allow(found *route) []allowed {
	if found != nil || len(l) == 0 {
		return nil
	}
	verbs := maps.Clone(l)
	if whatever := verbs[anyVerb]; whatever != nil {
		delete(verbs, anyVerb)
		for _, v := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
			verbs[v] = cmp.Or(verbs[v], whatever)
		}
	}
	if verbs[http.MethodGet] != nil && verbs[http.MethodHead] == nil {
		verbs[http.MethodHead] = nil
	}
	if verbs[http.MethodOptions] == nil {
		verbs[http.MethodOptions] = nil
	}
	all := make([]allowed, 0, len(verbs))
	for _, v := range slices.Sorted(maps.Keys(verbs)) {
		all = append(all, allowed{v, verbs[v]})
	}
	return all
}

// splitPath cuts an escaped path into segments. It is not ok when one is empty
// (doubled or trailing slashes) or not well encoded: no route matches that.
func splitPath(path string) (raw, decoded []string, ok bool) {
	if len(path) < 2 || path[0] != '/' {
		return nil, nil, false
	}
	raw = strings.Split(path[1:], "/")
	decoded = make([]string, len(raw))
	for i, s := range raw {
		d, err := decodeSegment(s)
		if err != nil || s == "" {
			return nil, nil, false
		}
		decoded[i] = d
	}
	return raw, decoded, true
}

// captured returns the value of a variable in a path that its template matches.
func (v *variable) captured(t *template, raw []string) (string, error) {
	to := v.to
	if to == len(t.segments) && t.segments[to-1].kind == deep {
		to = len(raw)
	}
	text := strings.Join(raw[v.from:to], "/")
	decode := decodeSegment
	if v.multi {
		decode = decodeMulti
	}
	value, err := decode(text)
	if err != nil {
		return "", fmt.Errorf("decode %q: %w", text, err)
	}
	return value, nil
}
