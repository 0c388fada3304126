package openapi

import (
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// pathParameter is one wildcard of a template.
type pathParameter struct {
	name   string
	field  protoreflect.FieldDescriptor // what its variable sets; nil without one
	prefix string                       // what the field's value has before the wildcard
	whole  bool                         // the wildcard is all of the variable
	last   bool                         // nothing of the variable follows
	many   bool
}

// paths names the parameters of paths. Two paths that differ in the names only
// are one path to OpenAPI: the names are those of whoever comes first.
type paths struct {
	names     map[string][]string
	resources map[string][]string // patterns by type
}

// path returns a template as OpenAPI has it, such as /v1/users/{user}:suspend,
// and its parameters.
func (p *paths) path(t template, request protoreflect.MessageDescriptor) (string, []pathParameter) {
	var parameters []pathParameter
	for i, s := range t.segments {
		if s.wild {
			parameters = append(parameters, p.parameter(t, i, request, parameters))
		}
	}
	shape := t.write(func(int) string { return "" })
	if names, known := p.names[shape]; known {
		for i := range parameters {
			parameters[i].name = names[i]
		}
	} else {
		names = make([]string, len(parameters))
		for i := range parameters {
			names[i] = parameters[i].name
		}
		p.names[shape] = names
	}
	return t.write(func(i int) string { return parameters[i].name }), parameters
}

// write puts a template together with names for its wildcards.
func (t template) write(name func(wildcard int) string) string {
	var b strings.Builder
	wildcards := 0
	for _, s := range t.segments {
		b.WriteByte('/')
		if !s.wild {
			b.WriteString(s.text)
			continue
		}
		b.WriteString("{" + name(wildcards) + "}")
		wildcards++
	}
	if t.verb != "" {
		b.WriteString(":" + t.verb)
	}
	return b.String()
}

// parameter describes the wildcard at a segment.
func (p *paths) parameter(t template, at int, request protoreflect.MessageDescriptor, before []pathParameter) pathParameter {
	made := pathParameter{many: t.segments[at].many(), name: "segment"}
	for _, v := range t.variables {
		if at < v.from || at >= v.to {
			continue
		}
		made.field = fieldAt(request, v.field)
		made.whole, made.last = v.to-v.from == 1, at == v.to-1
		made.name = v.field
		if !made.whole {
			made.name = p.nameOf(t, v, at, made.field)
		}
		for _, s := range t.segments[v.from:at] {
			made.prefix += s.text + "/"
		}
	}
	taken := func(name string) bool {
		return slices.ContainsFunc(before, func(b pathParameter) bool { return b.name == name })
	}
	for name, n := made.name, 2; taken(made.name); n++ {
		made.name = name + strconv.Itoa(n)
	}
	return made
}

// nameOf returns what the resource calls a wildcard, or another resource that is
// in the same collections; else the singular of the collection before it; else the
// last name of the field's path.
func (p *paths) nameOf(t template, v variable, at int, field protoreflect.FieldDescriptor) string {
	within := t.segments[v.from:v.to]
	for _, pattern := range p.patterns(field) {
		if parts := strings.Split(pattern, "/"); len(parts) == len(within) && fits(within, parts) {
			return wildcardName(parts[at-v.from])
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(p.resources)) {
		for _, pattern := range p.resources[kind] {
			if parts := strings.Split(pattern, "/"); fits(within, parts) {
				return wildcardName(parts[at-v.from])
			}
		}
	}
	if at > v.from && !t.segments[at-1].wild {
		return singular(t.segments[at-1].text)
	}
	return v.field[strings.LastIndexByte(v.field, '.')+1:]
}

// fits says whether the pattern of a resource begins with segments.
func fits(segments []segment, pattern []string) bool {
	if len(pattern) < len(segments) {
		return false
	}
	for i, s := range segments {
		if s.many() || s.wild != strings.HasPrefix(pattern[i], "{") || !s.wild && s.text != pattern[i] {
			return false
		}
		if s.wild && wildcardName(pattern[i]) == "" {
			return false
		}
	}
	return true
}

// wildcardName returns the name in {name} or {name=**}.
func wildcardName(part string) string {
	name, _, _ := strings.Cut(strings.Trim(part, "{}"), "=")
	return strings.Map(func(r rune) rune {
		if r == '{' || r == '}' || r == '/' || r == '?' || r == '#' {
			return -1
		}
		return r
	}, name)
}

// patterns returns those of the resource that a field names.
func (p *paths) patterns(field protoreflect.FieldDescriptor) []string {
	if field == nil {
		return nil
	}
	if own := resource(field.ContainingMessage()); own != nil && field.Name() == "name" {
		return own.GetPattern()
	}
	return p.resources[optionsOf(field).reference.GetType()]
}

func singular(plural string) string {
	for _, ending := range []struct{ many, one string }{
		{"ies", "y"}, {"sses", "ss"}, {"xes", "x"}, {"ches", "ch"}, {"shes", "sh"}, {"ss", "ss"}, {"s", ""},
	} {
		if stem, ok := strings.CutSuffix(plural, ending.many); ok && stem != "" {
			return stem + ending.one
		}
	}
	return plural
}

// fieldAt returns the field at a path of proto names, nil when there is none.
func fieldAt(m protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	var field protoreflect.FieldDescriptor
	for name := range strings.SplitSeq(path, ".") {
		if field != nil && (field.Message() == nil || field.Cardinality() == protoreflect.Repeated) {
			return nil
		}
		if field != nil {
			m = field.Message()
		}
		if field = m.Fields().ByName(protoreflect.Name(name)); field == nil {
			return nil
		}
	}
	return field
}

// pathParameterObject is a wildcard as OpenAPI has it.
func (s *schemas) pathParameterObject(p pathParameter) *object {
	return newObject("name", p.name, "in", "path", "required", true,
		"description", p.description(), "schema", s.pathSchema(p))
}

func (p pathParameter) description() string {
	var about string
	if p.field != nil {
		about = comment(p.field)
		if !p.whole {
			about = "The part of `" + string(p.field.Name()) + "` after `" + p.prefix + "`. " + about
		}
	}
	if p.many {
		about += "\n\nMay hold slashes: it stands for all that is left of the path."
	}
	return strings.TrimSpace(about)
}

func (s *schemas) pathSchema(p pathParameter) *object {
	made := newObject("type", "string")
	if p.field != nil && p.whole && p.field.Message() == nil {
		made = s.value(p.field, input).constrain(constraints(p.field, s.optionsOf(p.field).rules))
	}
	if made.get("type") != "string" || made.get("pattern") != nil || made.get("enum") != nil {
		return made
	}
	if p.many {
		return made.set("x-multi-segment", true)
	}
	pattern := "^[^/]+$"
	if p.field != nil && !p.whole && p.last {
		if below, ok := patternBelow(s.optionsOf(p.field).rules.GetString().GetPattern(), p.prefix); ok {
			pattern = below
		}
	}
	return made.set("pattern", pattern)
}

// patternBelow returns what a pattern for a whole name demands after a prefix:
// ^[a-z]+$ for ^users/[a-z]+$.
func patternBelow(whole, prefix string) (string, bool) {
	whole, ok := portable(whole)
	rest, found := strings.CutPrefix(whole, "^"+regexp.QuoteMeta(prefix))
	if !ok || !found || !strings.HasSuffix(rest, "$") || strings.Contains(prefix, "*") || strings.IndexByte("*+?{", rest[0]) >= 0 {
		return "", false
	}
	parsed, err := syntax.Parse(whole, syntax.Perl)
	if err != nil || parsed.Op != syntax.OpConcat || parsed.Sub[0].Op != syntax.OpBeginText ||
		parsed.Sub[len(parsed.Sub)-1].Op != syntax.OpEndText {
		return "", false
	}
	if _, err := syntax.Parse("^"+rest, syntax.Perl); err != nil {
		return "", false
	}
	return "^" + rest, true
}
