package rest

import (
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// expand returns the path for the values of the variables, and whether they fit
// their patterns.
func (t *template) expand(values []string) (string, bool) {
	var b strings.Builder
	next := 0
	for i := 0; i < len(t.segments); i++ {
		if next < len(t.variables) && t.variables[next].from == i {
			v := &t.variables[next]
			text := v.encode(values[next])
			if !t.fits(v, text) {
				return "", false
			}
			if text != "" {
				b.WriteString("/" + text)
			}
			i = v.to - 1
			next++
			continue
		}
		if t.segments[i].kind != literal {
			return "", false // a wildcard without a variable: nobody says what stood there
		}
		one := variable{}
		b.WriteString("/" + one.encode(t.segments[i].text))
	}
	if t.verb != "" {
		one := variable{}
		b.WriteString(":" + one.encode(t.verb))
	}
	return b.String(), b.Len() > 0
}

// fits tells whether an encoded value has the segments of its variable.
func (t *template) fits(v *variable, text string) bool {
	have := strings.Split(text, "/")
	if text == "" {
		have = nil
	}
	for i, s := range t.segments[v.from:v.to] {
		if s.kind == deep {
			for _, h := range have[min(i, len(have)):] {
				if h == "" {
					return false
				}
			}
			return len(have) >= i
		}
		if i >= len(have) || have[i] == "" {
			return false
		}
		if s.kind == literal {
			if decoded, err := decodeSegment(have[i]); err != nil || decoded != s.text {
				return false
			}
		}
	}
	return len(have) == v.to-v.from
}

// textOf returns a scalar as it stands in a path.
func textOf(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch fd.Kind() {
	case protoreflect.BytesKind:
		return base64.URLEncoding.EncodeToString(v.Bytes())
	case protoreflect.EnumKind:
		if known := fd.Enum().Values().ByNumber(v.Enum()); known != nil {
			return string(known.Name())
		}
	}
	return v.String()
}
