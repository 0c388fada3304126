package rest

import (
	"bytes"
	"encoding/json"
	"slices"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fillMask sets update_mask to the fields that are in the JSON of the resource,
// explicit nulls included, unless the caller named them (AIP-134; http.proto).
//
// Left out are the fields that a caller sends back as it got them but does not
// change by a mask: what the path binds, what is OUTPUT_ONLY or IDENTIFIER
// (AIP-203), and the etag. A map or a list is one field, replaced as a whole.
func (r *route) fillMask(m protoreflect.Message, raw []byte) {
	if r.mask == nil || m.Has(r.mask) {
		return
	}
	w := &maskWalk{route: r, dec: json.NewDecoder(bytes.NewReader(raw))}
	w.object(r.bodyField.Message(), "", 0)
	if len(w.paths) == 0 {
		return
	}
	slices.Sort(w.paths)
	mask := m.Mutable(r.mask).Message()
	list := mask.Mutable(mask.Descriptor().Fields().ByNumber(1)).List()
	for _, p := range slices.Compact(w.paths) {
		list.Append(protoreflect.ValueOfString(p))
	}
}

type maskWalk struct {
	route *route
	dec   *json.Decoder
	paths []string
}

// object reads the object of a message; it is known to decode. It returns how
// many members it had, -1 when it was null.
func (w *maskWalk) object(md protoreflect.MessageDescriptor, path string, depth int) int {
	t, err := w.dec.Token()
	if err != nil || t != json.Delim('{') || depth > maxNested {
		return -1
	}
	n := 0
	for w.dec.More() {
		t, err := w.dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return n
		}
		n++
		if !w.member(md, name, path, depth) {
			return n
		}
	}
	_, _ = w.dec.Token()
	return n
}

func (w *maskWalk) member(md protoreflect.MessageDescriptor, name, path string, depth int) bool {
	fd := fieldNamed(md, name)
	if fd != nil && !fd.IsList() && !fd.IsMap() && fd.Message() != nil && !isOneValue(fd.Message()) {
		field := join(path, string(fd.Name()))
		if !w.route.changeable(fd, field) {
			return w.skip()
		}
		if w.object(fd.Message(), field, depth+1) <= 0 {
			w.paths = append(w.paths, field) // null, or {}: the message itself
		}
		return true
	}
	if fd != nil {
		if field := join(path, string(fd.Name())); w.route.changeable(fd, field) {
			w.paths = append(w.paths, field)
		}
	}
	return w.skip()
}

func (w *maskWalk) skip() bool {
	var value json.RawMessage
	return w.dec.Decode(&value) == nil
}

// changeable tells whether a field of the resource can be in a computed mask.
func (r *route) changeable(fd protoreflect.FieldDescriptor, field string) bool {
	if field == "etag" || r.bound[string(r.bodyField.Name())+"."+field] {
		return false
	}
	opts := fd.Options()
	if opts == nil || !proto.HasExtension(opts, annotations.E_FieldBehavior) {
		return true
	}
	behaviors := opts.ProtoReflect().Get(annotations.E_FieldBehavior.TypeDescriptor()).List()
	for i := range behaviors.Len() {
		switch annotations.FieldBehavior(behaviors.Get(i).Enum()) {
		case annotations.FieldBehavior_OUTPUT_ONLY, annotations.FieldBehavior_IDENTIFIER:
			return false
		}
	}
	return true
}
