package openapi

import (
	"fmt"
	"strings"
)

// template is a path template of google/api/http.proto.
type template struct {
	segments  []segment
	variables []variable
	verb      string // after the colon, "" without one
}

// segment is a literal, "*" or "**".
type segment struct {
	text string
	wild bool
}

// variable is the part of a path that becomes a field: segments from to to.
type variable struct {
	field    string
	from, to int
}

// many says whether a segment stands for any number of segments.
func (s segment) many() bool { return s.wild && s.text == "**" }

// parseTemplate reads
//
//	Template = "/" Segments [ ":" LITERAL ]
//	Segments = Segment { "/" Segment }
//	Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}"
func parseTemplate(path string) (template, error) {
	var t template
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return t, fmt.Errorf("path %q does not begin with a slash", path)
	}
	for {
		var err error
		if rest, err = t.part(rest); err != nil {
			return t, fmt.Errorf("path %q: %w", path, err)
		}
		if rest == "" {
			break
		}
		if verb, ok := strings.CutPrefix(rest, ":"); ok {
			if verb == "" || strings.ContainsAny(verb, "/{}*?#") {
				return t, fmt.Errorf("path %q: %q after the colon is no literal", path, verb)
			}
			t.verb = verb
			break
		}
		rest = rest[1:] // a slash
	}
	for i, s := range t.segments {
		if s.many() && i != len(t.segments)-1 {
			return t, fmt.Errorf("path %q: ** must be the last segment", path)
		}
	}
	return t, nil
}

// part reads one segment or variable; what is left begins with a slash, with a
// colon, or is empty.
func (t *template) part(rest string) (string, error) {
	if !strings.HasPrefix(rest, "{") {
		end := strings.IndexByte(rest, '/')
		if end < 0 {
			end = len(rest)
			if colon := strings.IndexByte(rest, ':'); colon >= 0 { // within the path a colon is part of its segment
				end = colon
			}
		}
		return rest[end:], t.segment(rest[:end])
	}
	inside, after, ok := strings.Cut(rest[1:], "}")
	if !ok {
		return "", fmt.Errorf("%q has no closing brace", rest)
	}
	if after != "" && after[0] != '/' && after[0] != ':' {
		return "", fmt.Errorf("a slash or a colon must follow {%s}", inside)
	}
	field, pattern, given := strings.Cut(inside, "=")
	if !given {
		pattern = "*"
	}
	if field == "" || strings.ContainsAny(field, "/*:{") {
		return "", fmt.Errorf("{%s} names no field", inside)
	}
	for _, v := range t.variables {
		if v.field == field {
			return "", fmt.Errorf("the field %s is there twice", field)
		}
	}
	v := variable{field: field, from: len(t.segments)}
	for s := range strings.SplitSeq(pattern, "/") {
		if strings.Contains(s, ":") {
			return "", fmt.Errorf("{%s} holds a colon", inside)
		}
		if err := t.segment(s); err != nil {
			return "", err
		}
	}
	v.to = len(t.segments)
	t.variables = append(t.variables, v)
	return after, nil
}

func (t *template) segment(s string) error {
	switch {
	case s == "*" || s == "**":
		t.segments = append(t.segments, segment{s, true})
	case s == "" || strings.ContainsAny(s, "{}*?#=\" <>\\^`|\x00"):
		return fmt.Errorf("%q is no literal", s)
	default:
		t.segments = append(t.segments, segment{s, false})
	}
	return nil
}
