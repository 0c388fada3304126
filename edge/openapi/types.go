package openapi

import (
	"cmp"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// scalar returns the schema of a scalar as protojson writes it: 64-bit integers
// are strings, since a browser's numbers are not exact above 2^53.
// https://protobuf.dev/programming-guides/json/
func scalar(kind protoreflect.Kind) *object {
	switch kind {
	case protoreflect.BoolKind:
		return newObject("type", "boolean")
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return newObject("type", "integer", "format", "int32")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return newObject("type", "integer", "format", "uint32", "minimum", 0, "maximum", uint32(1<<32-1))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return newObject("type", "string", "format", "int64", "pattern", "^-?[0-9]{1,19}$")
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return newObject("type", "string", "format", "uint64", "pattern", "^[0-9]{1,20}$")
	case protoreflect.FloatKind:
		return float("float")
	case protoreflect.DoubleKind:
		return float("double")
	case protoreflect.BytesKind:
		return newObject("type", "string", "contentEncoding", "base64")
	}
	return newObject("type", "string")
}

// float is a number, or the name of what JSON has no number for.
func float(format string) *object {
	return newObject("anyOf", []any{
		newObject("type", "number", "format", format),
		newObject("type", "string", "enum", []string{"NaN", "Infinity", "-Infinity"}),
	})
}

// mapKey returns the schema of the names of a map's members: JSON has strings
// only.
func mapKey(key protoreflect.FieldDescriptor) *object {
	switch key.Kind() {
	case protoreflect.BoolKind:
		return newObject("enum", []string{"true", "false"})
	case protoreflect.StringKind:
		return nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return newObject("pattern", "^[0-9]{1,20}$")
	}
	return newObject("pattern", "^-?[0-9]{1,19}$")
}

// enum returns the schema of an enum: the names of its values. What is answered may
// be one that the document does not know, by its number, unless the enum is closed.
func (s *schemas) enum(e protoreflect.EnumDescriptor, f form) *object {
	if isNull(e) {
		return newObject("type", "null")
	}
	known := s.enumNames(e)
	if f != output || e.IsClosed() {
		return known
	}
	return newObject("anyOf", []any{known, newObject("type", "integer", "format", "int32", "description", "A value that is newer than this document.")})
}

// isNull says whether an enum is the one whose JSON is null.
func isNull(e protoreflect.EnumDescriptor) bool {
	return e != nil && e.FullName() == "google.protobuf.NullValue"
}

func (s *schemas) enumNames(e protoreflect.EnumDescriptor) *object {
	return s.refer(s.names.of(e), func() *object {
		var names []string
		described, deprecated := &object{}, []string{}
		for i := range e.Values().Len() {
			v := e.Values().Get(i)
			names = append(names, string(v.Name()))
			described.add(string(v.Name()), comment(v))
			if o, ok := v.Options().(*descriptorpb.EnumValueOptions); ok && o.GetDeprecated() {
				deprecated = append(deprecated, string(v.Name()))
			}
		}
		o, _ := e.Options().(*descriptorpb.EnumOptions)
		return newObject("type", "string", "description", comment(e), "enum", names,
			"x-enum-descriptions", described, "x-enum-deprecated", deprecated, "deprecated", o.GetDeprecated())
	})
}

const (
	timePattern     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$`
	durationPattern = `^-?[0-9]{1,12}(\.[0-9]{1,9})?s$`
)

// wellKnown returns the schema of a message that protojson writes in a form of
// its own, nil for every other.
func (s *schemas) wellKnown(m protoreflect.MessageDescriptor) *object {
	if kind, ok := wrapped[m.FullName()]; ok {
		return scalar(kind)
	}
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return newObject("type", "string", "format", "date-time", "pattern", timePattern)
	case "google.protobuf.Duration":
		return newObject("type", "string", "pattern", durationPattern,
			"description", "Seconds with up to nine decimals and an `s`: `1.5s`.", "examples", []string{"1.5s"})
	case "google.protobuf.FieldMask":
		return newObject("type", "string",
			"description", "Paths of fields in lowerCamelCase, separated by commas: `displayName,labels.team`.")
	case "google.protobuf.Empty":
		return newObject("type", "object", "maxProperties", 0)
	case "google.protobuf.Struct":
		return newObject("type", "object", "additionalProperties", true)
	case "google.protobuf.Value":
		return newObject("description", "Any JSON value.")
	case "google.protobuf.ListValue":
		return newObject("type", "array").set("items", &object{})
	case "google.protobuf.Any":
		return s.refer("google.protobuf.Any", anyMessage)
	}
	return nil
}

func isWellKnown(m protoreflect.MessageDescriptor) bool {
	_, wrapper := wrapped[m.FullName()]
	switch m.FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask", "google.protobuf.Empty",
		"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue", "google.protobuf.Any":
		return true
	}
	return wrapper
}

// wrapped are the types that stand for a scalar that may be absent.
var wrapped = map[protoreflect.FullName]protoreflect.Kind{
	"google.protobuf.BoolValue":   protoreflect.BoolKind,
	"google.protobuf.Int32Value":  protoreflect.Int32Kind,
	"google.protobuf.UInt32Value": protoreflect.Uint32Kind,
	"google.protobuf.Int64Value":  protoreflect.Int64Kind,
	"google.protobuf.UInt64Value": protoreflect.Uint64Kind,
	"google.protobuf.FloatValue":  protoreflect.FloatKind,
	"google.protobuf.DoubleValue": protoreflect.DoubleKind,
	"google.protobuf.StringValue": protoreflect.StringKind,
	"google.protobuf.BytesValue":  protoreflect.BytesKind,
}

// anyMessage is a message of any type, with its type's name beside its fields; {} is
// one that holds none.
func anyMessage() *object {
	return newObject("type", "object",
		"description", "A message of any type: `@type` names it, its fields are beside it. A type with a JSON form of its own has it in `value`; a type that the server does not know has its bytes there, in base64.",
		"properties", newObject("@type", newObject("type", "string",
			"description", "The type of the message: `type.googleapis.com/` and its full name.", "examples", []string{typePrefix + "google.rpc.ErrorInfo"})),
		"additionalProperties", true)
}

// annotationsOf returns what is said about a field besides its type.
func annotationsOf(field protoreflect.FieldDescriptor, opts fieldOptions) *object {
	said := newObject(
		"description", cmp.Or(comment(field), detailFields[field.FullName()]),
		"readOnly", opts.behavior[annotations.FieldBehavior_OUTPUT_ONLY],
		"writeOnly", opts.behavior[annotations.FieldBehavior_INPUT_ONLY],
		"deprecated", opts.deprecated,
		"x-field-behavior", opts.names,
	)
	said.add("format", formatOf(field, opts))
	if r := opts.reference; r != nil {
		said.add("x-resource-reference", newObject("type", r.GetType(), "childType", r.GetChildType()))
	}
	return said
}

// formatOf returns the format of a field's text that google.api.field_info names,
// "" for none.
func formatOf(field protoreflect.FieldDescriptor, opts fieldOptions) string {
	if field.Kind() != protoreflect.StringKind || field.Cardinality() == protoreflect.Repeated {
		return ""
	}
	return formats[opts.format]
}

// formats are JSON Schema's formats of google.api.field_info's.
var formats = map[annotations.FieldInfo_Format]string{
	annotations.FieldInfo_UUID4: "uuid",
	annotations.FieldInfo_IPV4:  "ipv4",
	annotations.FieldInfo_IPV6:  "ipv6",
}
