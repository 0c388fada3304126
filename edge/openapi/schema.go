package openapi

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// form is what a schema is for; see the package comment.
type form int

const (
	output form = iota // what is answered: nothing is required, nothing promised
	input              // what is sent
	patch              // what a PATCH sends
)

// schemas makes the schemas of messages and enums and keeps those that have a
// name. It belongs to one call of Document.
type schemas struct {
	named   map[string]*object
	names   names
	waiting []waiting
	options map[protoreflect.FieldDescriptor]fieldOptions
	reaches map[reach]bool
}

// waiting is a named schema that is referred to and not made yet.
type waiting struct {
	name string
	make func() *object
}

// reach is the question whether a form of a message differs from the one before.
type reach struct {
	message protoreflect.MessageDescriptor
	form    form
}

func newSchemas() *schemas {
	return &schemas{
		named:   map[string]*object{},
		names:   newNames(),
		options: map[protoreflect.FieldDescriptor]fieldOptions{},
		reaches: map[reach]bool{},
	}
}

// finish makes every schema that is referred to, and those that they refer to.
func (s *schemas) finish() {
	for len(s.waiting) > 0 {
		next := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.named[next.name].merge(next.make())
	}
}

// refer returns a reference to a named schema, which is made once, later: that
// is what lets messages hold themselves.
func (s *schemas) refer(name string, make func() *object) *object {
	if _, known := s.named[name]; !known {
		s.named[name] = &object{}
		s.waiting = append(s.waiting, waiting{name, make})
	}
	return ref("schemas", name)
}

// message returns the schema of a message's JSON.
func (s *schemas) message(m protoreflect.MessageDescriptor, f form) *object {
	if known := s.wellKnown(m); known != nil {
		return known
	}
	if m.FullName() == statusName {
		return statusSchema(s)
	}
	name := s.names.of(m)
	switch {
	case f == patch && s.differs(m, patch):
		name += "-patch"
	case f != output && s.differs(m, input):
		name, f = name+"-input", input
	default:
		f = output
	}
	return s.refer(name, func() *object { return s.object(m, f, nil) })
}

// object returns the schema of a message with fields, without the fields that
// are bound elsewhere: paths of proto names.
func (s *schemas) object(m protoreflect.MessageDescriptor, f form, bound []string) *object {
	properties, required := &object{}, []string{}
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		below, leaf := boundBelow(bound, string(field.Name()))
		if leaf {
			continue
		}
		properties.set(field.JSONName(), s.property(field, f, below))
		if s.optionsOf(field).required(f) {
			required = append(required, field.JSONName())
		}
	}
	made := newObject(
		"type", "object",
		"description", comment(m),
		"properties", properties,
		"required", required,
		"allOf", s.oneofs(m, f, bound),
		"deprecated", messageDeprecated(m),
	)
	if r := resource(m); r != nil {
		made.add("x-resource", newObject("type", r.GetType(), "pattern", r.GetPattern()))
	}
	if f != output {
		made.add("x-cel", celRules(messageRules(m).GetCel()))
	}
	return made
}

// oneofs returns a schema for each oneof: one member at most, and exactly one
// where the server checks that.
func (s *schemas) oneofs(m protoreflect.MessageDescriptor, f form, bound []string) []any {
	var all []any
	for i := range m.Oneofs().Len() {
		o := m.Oneofs().Get(i)
		if o.IsSynthetic() || o.Fields().Len() < 2 {
			continue
		}
		var members []any
		for j := range o.Fields().Len() {
			if field := o.Fields().Get(j); !slices.Contains(bound, string(field.Name())) {
				members = append(members, newObject("required", []string{field.JSONName()}))
			}
		}
		if len(members) < 2 {
			continue
		}
		choices := members
		if f == output || !oneofRules(o).GetRequired() {
			choices = append(slices.Clone(members), newObject("not", newObject("anyOf", members)))
		}
		all = append(all, newObject("description", "At most one of the oneof `"+string(o.Name())+"`.", "oneOf", choices))
	}
	return all
}

// property returns the schema of a field as a member of its message.
func (s *schemas) property(field protoreflect.FieldDescriptor, f form, bound []string) *object {
	opts := s.optionsOf(field)
	var made *object
	if len(bound) > 0 && field.Message() != nil && field.Cardinality() != protoreflect.Repeated {
		made = s.object(field.Message(), f, bound)
	} else {
		made = s.value(field, f)
	}
	if f != output {
		made.constrain(constraints(field, opts.rules))
	}
	return made.merge(annotationsOf(field, opts))
}

// value returns the schema of what a field holds, one or many.
func (s *schemas) value(field protoreflect.FieldDescriptor, f form) *object {
	switch {
	case field.IsMap():
		return newObject("type", "object",
			"propertyNames", mapKey(field.MapKey()),
			"additionalProperties", s.single(field.MapValue(), f))
	case field.IsList():
		return newObject("type", "array", "items", s.single(field, f))
	}
	return s.single(field, f)
}

// single returns the schema of one value of a field's type.
func (s *schemas) single(field protoreflect.FieldDescriptor, f form) *object {
	switch {
	case field.Message() != nil:
		return s.message(field.Message(), f)
	case field.Enum() != nil:
		return s.enum(field.Enum(), f)
	}
	return scalar(field.Kind())
}

func (s *schemas) optionsOf(field protoreflect.FieldDescriptor) fieldOptions {
	known, ok := s.options[field]
	if !ok {
		known = optionsOf(field)
		s.options[field] = known
	}
	return known
}

// differs says whether a form of a message differs from the form before it (a
// patch from an input, an input from an output): in the message itself, or in
// one that it holds.
func (s *schemas) differs(m protoreflect.MessageDescriptor, f form) bool {
	asked := reach{m, f}
	if known, ok := s.reaches[asked]; ok {
		return known
	}
	seen, next := map[protoreflect.MessageDescriptor]bool{m: true}, []protoreflect.MessageDescriptor{m}
	for len(next) > 0 {
		at := next[0]
		next = next[1:]
		if s.differsItself(at, f) || s.reaches[reach{at, f}] {
			s.reaches[asked] = true
			return true
		}
		for i := range at.Fields().Len() {
			if below := at.Fields().Get(i).Message(); below != nil && !seen[below] && !isWellKnown(below) {
				seen[below] = true
				next = append(next, below)
			}
		}
	}
	s.reaches[asked] = false
	return false
}

func (s *schemas) differsItself(m protoreflect.MessageDescriptor, f form) bool {
	if m.IsMapEntry() {
		return false
	}
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		opts := s.optionsOf(field)
		if f == patch && opts.required(input) != opts.required(patch) {
			return true
		}
		if f == input && (opts.required(input) || len(constraints(field, opts.rules).members) > 0) {
			return true
		}
	}
	if f == patch {
		return false
	}
	for i := range m.Oneofs().Len() {
		if oneofRules(m.Oneofs().Get(i)).GetRequired() {
			return true
		}
	}
	return len(messageRules(m).GetCel()) > 0
}

// boundBelow returns the paths below a field, and whether the field itself is
// bound.
func boundBelow(paths []string, field string) (below []string, leaf bool) {
	for _, path := range paths {
		if path == field {
			leaf = true
		} else if len(path) > len(field) && path[:len(field)] == field && path[len(field)] == '.' {
			below = append(below, path[len(field)+1:])
		}
	}
	return below, leaf
}

func messageDeprecated(m protoreflect.MessageDescriptor) bool {
	o, ok := m.Options().(*descriptorpb.MessageOptions)
	return ok && o.GetDeprecated()
}
