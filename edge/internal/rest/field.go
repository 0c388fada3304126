package rest

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Messages whose JSON is one value, not an object of their fields.
const (
	timestampName = "google.protobuf.Timestamp"
	durationName  = "google.protobuf.Duration"
	maskName      = "google.protobuf.FieldMask"
	anyName       = "google.protobuf.Any"
	structName    = "google.protobuf.Struct"
	valueName     = "google.protobuf.Value"
	listName      = "google.protobuf.ListValue"
	nullName      = "google.protobuf.NullValue"
	emptyName     = "google.protobuf.Empty"
	httpBodyName  = "google.api.HttpBody"
	operationName = "google.longrunning.Operation"
)

// isWrapper tells whether a message is one of google/protobuf/wrappers.proto.
func isWrapper(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value", "google.protobuf.UInt64Value",
		"google.protobuf.Int32Value", "google.protobuf.UInt32Value", "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return true
	}
	return false
}

// isOneValue tells whether the JSON of a message is not an object of its fields.
func isOneValue(md protoreflect.MessageDescriptor) bool {
	switch md.FullName() {
	case timestampName, durationName, maskName, anyName, structName, valueName, listName:
		return true
	}
	return isWrapper(md)
}

// inURL tells whether one text of a path or a query can be a value of the field,
// or of one element of it.
func inURL(fd protoreflect.FieldDescriptor) bool {
	if fd.IsMap() {
		return false
	}
	md := fd.Message()
	return md == nil || isWrapper(md) || md.FullName() == timestampName || md.FullName() == durationName || md.FullName() == maskName
}

// fieldPath is a field of a message, through messages within it.
type fieldPath []protoreflect.FieldDescriptor

// String returns the path by proto names.
func (p fieldPath) String() string {
	names := make([]string, len(p))
	for i, fd := range p {
		names[i] = string(fd.Name())
	}
	return strings.Join(names, ".")
}

// json returns the path by JSON names. One with a dot in it is no step of a path.
func (p fieldPath) json() string {
	names := make([]string, len(p))
	for i, fd := range p {
		if names[i] = fd.JSONName(); strings.Contains(names[i], ".") {
			names[i] = string(fd.Name())
		}
	}
	return strings.Join(names, ".")
}

// leaf returns the last field.
func (p fieldPath) leaf() protoreflect.FieldDescriptor { return p[len(p)-1] }

// message returns the message that the last field is in, made if need be.
func (p fieldPath) message(m protoreflect.Message) protoreflect.Message {
	for _, fd := range p[:len(p)-1] {
		m = m.Mutable(fd).Message()
	}
	return m
}

// get returns the message that the last field is in, or nil when it is not there.
func (p fieldPath) get(m protoreflect.Message) protoreflect.Message {
	for _, fd := range p[:len(p)-1] {
		if !m.Has(fd) {
			return nil
		}
		m = m.Get(fd).Message()
	}
	return m
}

// fieldNamed finds a field by its proto name or its JSON name.
func fieldNamed(md protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByName(protoreflect.Name(name)); fd != nil {
		return fd
	}
	return md.Fields().ByJSONName(name)
}

// resolve finds the field of a path, whose names are proto names or JSON names.
func resolve(md protoreflect.MessageDescriptor, path string) (fieldPath, error) {
	var found fieldPath
	for name := range strings.SplitSeq(path, ".") {
		if n := len(found); n > 0 {
			fd := found[n-1]
			if fd.Message() == nil || fd.IsList() || fd.IsMap() {
				return nil, fmt.Errorf("%q: %q has no fields of its own", path, found.String())
			}
			md = fd.Message()
		}
		fd := fieldNamed(md, name)
		if fd == nil {
			return nil, fmt.Errorf("%s has no field %q%s", md.FullName(), name, suggest(name, fieldNames(md)))
		}
		found = append(found, fd)
	}
	return found, nil
}

// fieldNames returns the names of all fields, as in JSON.
func fieldNames(md protoreflect.MessageDescriptor) []string {
	names := make([]string, md.Fields().Len())
	for i := range names {
		names[i] = md.Fields().Get(i).JSONName()
	}
	return names
}
