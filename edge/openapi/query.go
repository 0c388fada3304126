package openapi

import (
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Limits of query parameters: a request of messages that hold messages would
// otherwise have more of them than anybody reads.
const (
	maxQueryDepth = 4
	maxQuery      = 200
)

// queryWalk finds the query parameters of a request.
type queryWalk struct {
	schemas *schemas
	bound   []string
	within  []protoreflect.MessageDescriptor
	found   []any
}

// query returns the parameters for the fields of a request that are bound to
// neither the path nor the body: scalars, lists of them, and messages field by
// field with a dotted name. Maps, lists of messages and messages without fields
// of their own have no form in a query (google/api/http.proto).
func (s *schemas) query(request protoreflect.MessageDescriptor, bound []string) []any {
	walk := &queryWalk{schemas: s, bound: bound}
	walk.message(request, "", "")
	return walk.found
}

func (w *queryWalk) message(m protoreflect.MessageDescriptor, names, path string) {
	if len(w.within) >= maxQueryDepth || slices.Contains(w.within, m) {
		return
	}
	w.within = append(w.within, m)
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		fieldPath := path + string(field.Name())
		if len(w.found) >= maxQuery || slices.Contains(w.bound, fieldPath) || field.IsMap() || isNull(field.Enum()) {
			continue
		}
		name := names + queryName(field)
		switch below := field.Message(); {
		case below == nil || queryScalar(below):
			w.found = append(w.found, w.parameter(field, name))
		case !field.IsList() && !isWellKnown(below):
			w.message(below, name+".", fieldPath+".")
		}
	}
	w.within = w.within[:len(w.within)-1]
}

// queryScalar says whether a message has one string or number as its JSON.
func queryScalar(m protoreflect.MessageDescriptor) bool {
	switch m.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask":
		return true
	}
	_, wrapper := wrapped[m.FullName()]
	return wrapper
}

func (w *queryWalk) parameter(field protoreflect.FieldDescriptor, name string) *object {
	opts := w.schemas.optionsOf(field)
	made := newObject("name", name, "in", "query",
		"description", comment(field),
		"required", len(w.within) == 1 && opts.required(input),
		"deprecated", opts.deprecated,
		"schema", w.schemas.value(field, input).constrain(constraints(field, opts.rules)).add("format", formatOf(field, opts)))
	if field.IsList() {
		made.add("style", "form").add("explode", true)
	}
	if opts.reference != nil {
		made.add("x-resource-reference", newObject("type", opts.reference.GetType()))
	}
	return made
}
