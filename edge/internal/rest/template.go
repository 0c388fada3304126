package rest

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// template is a path template of google/api/http.proto, "Path template syntax".
type template struct {
	text      string
	segments  []segment
	variables []variable
	verb      string
}

type segmentKind uint8

const (
	literal segmentKind = iota
	single              // *
	deep                // **
)

type segment struct {
	kind segmentKind
	text string // of a literal, percent-decoded
}

// variable binds the segments [from, to) to a field; to is that of the template
// when the variable ends with **.
type variable struct {
	path     string
	from, to int
	// multi tells that the variable is more than one "*": "%2F" stays as it is.
	multi bool
}

var errNotAbsolute = errors.New(`it must begin with "/"`)

// parseTemplate parses a template. The error says where it is wrong.
func parseTemplate(text string) (*template, error) {
	p := &templateParser{text: text, t: &template{text: text}}
	if err := p.parse(); err != nil {
		return nil, fmt.Errorf("path template %q: %w", text, err)
	}
	return p.t, nil
}

type templateParser struct {
	text string
	at   int
	t    *template
}

func (p *templateParser) parse() error {
	if !strings.HasPrefix(p.text, "/") {
		return errNotAbsolute
	}
	p.at = 1
	if err := p.segments(""); err != nil {
		return err
	}
	if p.at == len(p.text) {
		return nil
	}
	if p.text[p.at] != ':' {
		return p.wrong("a segment ends with %q, \"/\" or \":\" and a verb were expected", p.text[p.at])
	}
	verb, err := decodeSegment(p.text[p.at+1:])
	if err != nil || verb == "" || strings.ContainsAny(verb, "/{}*:") {
		return p.wrong("%q is no verb", p.text[p.at+1:])
	}
	p.t.verb = verb
	return nil
}

// segments parses Segments; variable is the field path it is for, or "".
func (p *templateParser) segments(variable string) error {
	for {
		if n := len(p.t.segments); n > 0 && p.t.segments[n-1].kind == deep {
			return p.wrong("nothing but a verb may follow \"**\"")
		}
		if err := p.segment(variable); err != nil {
			return err
		}
		if p.at == len(p.text) || p.text[p.at] != '/' {
			return nil
		}
		p.at++
	}
}

func (p *templateParser) segment(variable string) error {
	if p.at < len(p.text) && p.text[p.at] == '{' {
		if variable != "" {
			return p.wrong("variable %q has another variable in it", variable)
		}
		return p.variable()
	}
	end := p.at + p.until("/{}")
	if end == len(p.text) || p.text[end] != '/' || variable != "" {
		// The last segment: a colon begins the verb. In others it is part of them.
		end = p.at + p.until("/{}:")
	}
	text := p.text[p.at:end]
	switch {
	case text == "":
		return p.wrong("a segment is empty")
	case text == "*":
		p.t.segments = append(p.t.segments, segment{kind: single})
	case text == "**":
		p.t.segments = append(p.t.segments, segment{kind: deep})
	case strings.Contains(text, "*"):
		return p.wrong("%q: \"*\" stands for a whole segment", text)
	default:
		decoded, err := decodeSegment(text)
		if err != nil {
			return p.wrong("%q: %v", text, err)
		}
		p.t.segments = append(p.t.segments, segment{text: decoded})
	}
	p.at = end
	return nil
}

// until returns how many bytes there are before one of the stops, or the end.
func (p *templateParser) until(stops string) int {
	if i := strings.IndexAny(p.text[p.at:], stops); i >= 0 {
		return i
	}
	return len(p.text) - p.at
}

func (p *templateParser) variable() error {
	p.at++ // {
	path := p.text[p.at : p.at+p.until("=}")]
	if !isFieldPath(path) {
		return p.wrong("%q is no field path", path)
	}
	for _, v := range p.t.variables {
		if v.path == path {
			return p.wrong("the field %q is bound twice", path)
		}
	}
	p.at += len(path)
	v := variable{path: path, from: len(p.t.segments)}
	if p.at < len(p.text) && p.text[p.at] == '=' {
		p.at++
		if err := p.segments(path); err != nil {
			return err
		}
	} else {
		p.t.segments = append(p.t.segments, segment{kind: single})
	}
	if p.at == len(p.text) || p.text[p.at] != '}' {
		return p.wrong("variable %q has no \"}\"", path)
	}
	p.at++
	if p.at < len(p.text) && p.text[p.at] != '/' && p.text[p.at] != ':' {
		return p.wrong("a variable is a whole segment; %q follows it", p.text[p.at])
	}
	v.to = len(p.t.segments)
	v.multi = v.to-v.from > 1 || p.t.segments[v.from].kind == deep
	p.t.variables = append(p.t.variables, v)
	return nil
}

func (p *templateParser) wrong(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", p.at, fmt.Sprintf(format, args...))
}

// isFieldPath tells whether text is IDENT { "." IDENT }.
func isFieldPath(text string) bool {
	for ident := range strings.SplitSeq(text, ".") {
		for i := range len(ident) {
			c := ident[i]
			if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
				return false
			}
		}
		if ident == "" {
			return false
		}
	}
	return true
}

// decodeSegment decodes all percent-encoding of one segment.
func decodeSegment(raw string) (string, error) {
	if strings.IndexByte(raw, '%') < 0 {
		return raw, nil
	}
	return url.PathUnescape(raw)
}

// decodeMulti decodes percent-encoding but leaves "%2F" and "%2f" as they are,
// as http.proto wants it for variables of several segments.
func decodeMulti(raw string) (string, error) {
	if strings.IndexByte(raw, '%') < 0 {
		return raw, nil
	}
	var b strings.Builder
	for {
		i := strings.Index(strings.ToUpper(raw), "%2F")
		if i < 0 {
			break
		}
		decoded, err := url.PathUnescape(raw[:i])
		if err != nil {
			return "", err
		}
		b.WriteString(decoded)
		b.WriteString(raw[i : i+3])
		raw = raw[i+3:]
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return "", err
	}
	b.WriteString(decoded)
	return b.String(), nil
}

// encode percent-encodes a value for a variable: everything but the unreserved
// characters of RFC 3986, and "/" as well when the variable is multi.
func (v *variable) encode(value string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		c := value[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0, v.multi && c == '/':
			b.WriteByte(c)
		case v.multi && c == '%' && strings.HasPrefix(strings.ToUpper(value[i:]), "%2F"):
			b.WriteString(value[i : i+3]) // it was left as it is when it came
			i += 2
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}
