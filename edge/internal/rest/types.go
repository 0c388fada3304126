package rest

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	// The details that errors usually carry, so that they are shown by their fields.
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
)

// Types finds the types of one service's messages, and of what is in an Any: those of
// the service's file and of what it imports (or of all files that came with it, where
// its descriptor has a method Files), then those that are linked. A type that
// is linked with the very descriptor that the service has is the Go type, for speed;
// all others are made of descriptors. It is immutable and safe for concurrent use.
//
// Each service has its own: two backends may have different files of one name.
type Types struct {
	contract *dynamicpb.Types
	queries  map[protoreflect.FullName]bool // see InQuery
}

var (
	_ protoregistry.MessageTypeResolver   = (*Types)(nil)
	_ protoregistry.ExtensionTypeResolver = (*Types)(nil)
)

// described is a service whose descriptor knows all files that it came with: what is in
// an Any is often of one that the service's own does not import.
type described interface{ Files() *protoregistry.Files }

// NewTypes returns the types of a service; nil: those that are linked alone.
func NewTypes(s protoreflect.ServiceDescriptor) *Types {
	if d, ok := s.(described); ok {
		return &Types{dynamicpb.NewTypes(d.Files()), queriesOf(s)}
	}
	files := &protoregistry.Files{}
	if s != nil {
		addFile(files, s.ParentFile(), map[string]bool{})
	}
	return &Types{dynamicpb.NewTypes(files), queriesOf(s)}
}

// queriesOf returns the messages that may be in a query: what methods without side
// effects take.
func queriesOf(s protoreflect.ServiceDescriptor) map[protoreflect.FullName]bool {
	names := map[protoreflect.FullName]bool{}
	if s == nil {
		return names
	}
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		if o, ok := m.Options().(*descriptorpb.MethodOptions); ok && o.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS {
			names[m.Input().FullName()] = true
		}
	}
	return names
}

// InQuery tells whether a GET of Connect may have a message in its query.
func (t *Types) InQuery(m protoreflect.MessageDescriptor) bool { return t.queries[m.FullName()] }

// addFile registers a file and its imports. Files that cannot be had (a placeholder
// of an import that is not known) are left out: their types are not found then. Of
// two different files of one path, or with one name, the first is taken.
func addFile(files *protoregistry.Files, fd protoreflect.FileDescriptor, seen map[string]bool) {
	if fd == nil || fd.IsPlaceholder() || seen[fd.Path()] {
		return
	}
	seen[fd.Path()] = true
	_ = files.RegisterFile(fd) // see above
	for i := range fd.Imports().Len() {
		addFile(files, fd.Imports().Get(i).FileDescriptor, seen)
	}
}

// typeOf returns the Go type of a message where it is linked and has this very
// descriptor, and a dynamic one otherwise.
func typeOf(md protoreflect.MessageDescriptor) protoreflect.MessageType {
	if mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName()); err == nil && mt.Descriptor() == md {
		return mt
	}
	return dynamicpb.NewMessageType(md)
}

// FindMessageByName implements protoregistry.MessageTypeResolver.
func (t *Types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if mt, err := t.contract.FindMessageByName(name); err == nil {
		return typeOf(mt.Descriptor()), nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name) //nolint:wrapcheck // callers tell not found by it
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (t *Types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if mt, err := t.contract.FindMessageByURL(url); err == nil {
		return typeOf(mt.Descriptor()), nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url) //nolint:wrapcheck // as above
}

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (t *Types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	own, err := t.contract.FindExtensionByName(name)
	linked, failed := protoregistry.GlobalTypes.FindExtensionByName(name)
	if err != nil || failed == nil && same(own, linked) {
		return linked, failed //nolint:wrapcheck // as above
	}
	return own, nil
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (t *Types) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	own, err := t.contract.FindExtensionByNumber(message, number)
	linked, failed := protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
	if err != nil || failed == nil && same(own, linked) {
		return linked, failed //nolint:wrapcheck // as above
	}
	return own, nil
}

func same(a, b protoreflect.ExtensionType) bool {
	return a.TypeDescriptor().Descriptor() == b.TypeDescriptor().Descriptor()
}
