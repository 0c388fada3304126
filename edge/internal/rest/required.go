package rest

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// demands tells whether a message, or one within it, has fields that must be there:
// "required" of proto2, and LEGACY_REQUIRED of editions.
func demands(md protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) bool {
	if seen[md.FullName()] {
		return false
	}
	seen[md.FullName()] = true
	if md.RequiredNumbers().Len() > 0 {
		return true
	}
	for i := range md.Fields().Len() {
		if inner := md.Fields().Get(i).Message(); inner != nil && demands(inner, seen) {
			return true
		}
	}
	return false
}

// missing says which fields a request lacks that must be there. The service could not
// read it, and would call that a fault of its own.
func (r *route) missing(m protoreflect.Message) violations {
	var bad violations
	if r.demands {
		bad.missing(m, "")
	}
	return bad
}

func (v *violations) missing(m protoreflect.Message, path string) {
	md := m.Descriptor()
	for i := range md.RequiredNumbers().Len() {
		if fd := md.Fields().ByNumber(md.RequiredNumbers().Get(i)); !m.Has(fd) {
			v.add(join(path, string(fd.Name())), "REQUIRED", "is missing, and "+string(md.FullName())+" cannot be without it")
		}
	}
	m.Range(func(fd protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		field := join(path, string(fd.Name()))
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			value.Map().Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
				v.missing(value.Message(), fmt.Sprintf("%s[%q]", field, key.String()))
				return !v.full()
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := range value.List().Len() {
				v.missing(value.List().Get(i).Message(), field+"["+strconv.Itoa(i)+"]")
			}
		default:
			v.missing(value.Message(), field)
		}
		return !v.full()
	})
}
