package openapi

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// stringRules are those of strings. buf.validate counts code points, as JSON
// Schema does.
func stringRules(of protoreflect.Message) *object {
	said, all := &object{}, []any{}
	for _, rule := range []struct{ name, key string }{
		{"min_len", "minLength"}, {"max_len", "maxLength"},
		{"min_bytes", "x-min-bytes"}, {"max_bytes", "x-max-bytes"}, {"const", "const"},
	} {
		has(of, protoreflect.Name(rule.name), func(v protoreflect.Value) { said.set(rule.key, v.Interface()) })
	}
	has(of, "len", func(v protoreflect.Value) { said.set("minLength", v.Uint()).set("maxLength", v.Uint()) })
	has(of, "len_bytes", func(v protoreflect.Value) { said.set("x-min-bytes", v.Uint()).set("x-max-bytes", v.Uint()) })
	pattern := func(p string) {
		if said.get("pattern") == nil {
			said.set("pattern", p)
		} else {
			all = append(all, newObject("pattern", p))
		}
	}
	has(of, "pattern", func(v protoreflect.Value) {
		if p, ok := portable(v.String()); ok {
			pattern(p)
		} else {
			said.set("x-pattern-re2", v.String())
		}
	})
	has(of, "prefix", func(v protoreflect.Value) { pattern("^" + regexp.QuoteMeta(v.String())) })
	has(of, "suffix", func(v protoreflect.Value) { pattern(regexp.QuoteMeta(v.String()) + "$") })
	has(of, "contains", func(v protoreflect.Value) { pattern(regexp.QuoteMeta(v.String())) })
	has(of, "not_contains", func(v protoreflect.Value) {
		all = append(all, newObject("not", newObject("pattern", regexp.QuoteMeta(v.String()))))
	})
	has(of, "in", func(v protoreflect.Value) { said.add("enum", list(v.List(), protoreflect.Value.Interface)) })
	has(of, "not_in", func(v protoreflect.Value) {
		said.add("not", newObject("enum", list(v.List(), protoreflect.Value.Interface)))
	})
	for rule, format := range stringFormats {
		has(of, rule, func(v protoreflect.Value) {
			if v.Bool() {
				said.set("format", format)
			}
		})
	}
	return said.add("allOf", all)
}

// stringFormats are JSON Schema's formats of buf.validate's; a string has one of
// them at most.
var stringFormats = map[protoreflect.Name]string{
	"email": "email", "hostname": "hostname", "ipv4": "ipv4", "ipv6": "ipv6",
	"uri": "uri", "uri_ref": "uri-reference", "uuid": "uuid",
}

// portable returns a pattern of RE2 as JSON Schema has it, in ECMA-262, and false
// when it means something else there, or nothing.
func portable(pattern string) (string, bool) {
	if _, err := regexp.Compile(pattern); err != nil {
		return "", false
	}
	var b strings.Builder
	class := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		rest := pattern[i:]
		switch {
		case c == '\\':
			escaped, ok := portableEscape(rest, class)
			if !ok {
				return "", false
			}
			b.WriteString(escaped)
			i++
			continue
		case class && strings.HasPrefix(rest, "[:"), !class && strings.HasPrefix(rest, "(?") && !strings.HasPrefix(rest, "(?:"):
			return "", false
		case class && c == '[':
			b.WriteString(`\[`)
			continue
		case !class && c == '.':
			b.WriteString(`[^\n]`)
			continue
		case !class && (c == ']' || c == '}' && !closesCount(pattern[:i])) || !class && c == '{' && !opensCount(rest):
			b.WriteByte('\\')
		case !class && c == '[':
			class = true
			// A bracket that comes first is a member.
			for _, first := range []string{"[^]", "[]"} {
				if strings.HasPrefix(rest, first) {
					b.WriteString(first[:len(first)-1] + `\]`)
					i += len(first) - 1
					break
				}
			}
			if pattern[i] == ']' {
				continue
			}
		case class && c == ']':
			class = false
		}
		b.WriteByte(c)
	}
	return b.String(), true
}

// portableEscape returns an escape that both languages have.
func portableEscape(rest string, class bool) (string, bool) {
	if len(rest) < 2 {
		return "", false
	}
	switch c := rest[1]; {
	case strings.IndexByte("dwDWnrtfv", c) >= 0, !class && (c == 'b' || c == 'B'):
		return rest[:2], true
	case strings.IndexByte(`^$\.*+?()[]{}|/`, c) >= 0, class && c == '-':
		return rest[:2], true
	case c < 0x80 && c > ' ' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z'):
		return rest[1:2], true // ECMA-262 refuses escapes of what needs none
	}
	return "", false
}

var (
	countOpens  = regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`)
	countCloses = regexp.MustCompile(`\{[0-9]+(,[0-9]*)?$`)
)

func opensCount(rest string) bool    { return countOpens.MatchString(rest) }
func closesCount(before string) bool { return countCloses.MatchString(before) }
