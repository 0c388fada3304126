package openapi

import (
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// names are those of messages and enums in the document. Services that come from
// different places, such as two backends of a gateway, may have different types of
// one name; each needs a schema of its own.
type names struct {
	taken map[string]protoreflect.Descriptor // nil: by what is no type of a service
	given map[protoreflect.Descriptor]string
}

func newNames() names {
	return names{
		taken: map[string]protoreflect.Descriptor{problemName: nil, statusName: nil, statusName + "-detail": nil, "google.protobuf.Any": nil},
		given: map[protoreflect.Descriptor]string{},
	}
}

// of returns the name of a message or an enum: its full name, with a number after it
// when another of that name is there already.
func (n names) of(d protoreflect.Descriptor) string {
	if name, known := n.given[d]; known {
		return name
	}
	name := string(d.FullName())
	for i := 2; ; i++ {
		other, taken := n.taken[name]
		if !taken {
			n.taken[name] = d
		}
		if !taken || other != nil && alike(other, d, map[protoreflect.FullName]bool{}) {
			n.given[d] = name
			return name
		}
		name = string(d.FullName()) + "-" + strconv.Itoa(i)
	}
}

// alike says whether two descriptors of one name say the same, with all that they
// refer to.
func alike(a, b protoreflect.Descriptor, seen map[protoreflect.FullName]bool) bool {
	if a == b || seen[a.FullName()] {
		return true
	}
	seen[a.FullName()] = true
	if e, ok := a.(protoreflect.EnumDescriptor); ok {
		other, ok := b.(protoreflect.EnumDescriptor)
		return ok && e.IsClosed() == other.IsClosed() && proto.Equal(protodesc.ToEnumDescriptorProto(e), protodesc.ToEnumDescriptorProto(other))
	}
	m, isMessage := a.(protoreflect.MessageDescriptor)
	other, both := b.(protoreflect.MessageDescriptor)
	if !isMessage || !both || !proto.Equal(protodesc.ToDescriptorProto(m), protodesc.ToDescriptorProto(other)) {
		return false
	}
	for i := range m.Fields().Len() { // the same fields, by now
		one, two := m.Fields().Get(i), other.Fields().Get(i)
		if one.Message() != nil && !alike(one.Message(), two.Message(), seen) || one.Enum() != nil && !alike(one.Enum(), two.Enum(), seen) {
			return false
		}
	}
	return true
}
