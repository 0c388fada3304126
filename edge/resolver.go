package edge

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// resolver finds the types of one service's messages: those that are linked in
// where the service is, otherwise ones made of its descriptors. For messages inside
// an Any (the details of errors) what is linked in comes first.
type resolver struct {
	*dynamicpb.Types
	linked bool // the service's own types are linked in
}

// newResolver makes the resolver of a service, of its file and all that this
// imports.
func newResolver(s protoreflect.ServiceDescriptor) *resolver {
	var files protoregistry.Files
	register(&files, s.ParentFile(), map[string]bool{})
	linked, err := protoregistry.GlobalFiles.FindDescriptorByName(s.FullName())
	return &resolver{dynamicpb.NewTypes(&files), err == nil && linked == protoreflect.Descriptor(s)}
}

// register adds a file and what it imports. Files that cannot be had (a placeholder
// of an import that is not known) are left out: their types are not found then.
func register(files *protoregistry.Files, f protoreflect.FileDescriptor, seen map[string]bool) {
	if f == nil || f.IsPlaceholder() || seen[f.Path()] {
		return
	}
	seen[f.Path()] = true
	_ = files.RegisterFile(f) // see above
	for i := range f.Imports().Len() {
		register(files, f.Imports().Get(i).FileDescriptor, seen)
	}
}

// FindMessageByName implements protoregistry.MessageTypeResolver.
func (r *resolver) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if r.linked {
		if t, err := protoregistry.GlobalTypes.FindMessageByName(name); err == nil {
			return t, nil
		}
	}
	if t, err := r.Types.FindMessageByName(name); err == nil {
		return t, nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name) //nolint:wrapcheck // callers tell not found by it
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (r *resolver) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if t, err := protoregistry.GlobalTypes.FindMessageByURL(url); err == nil {
		return t, nil
	}
	return r.Types.FindMessageByURL(url) //nolint:wrapcheck // as above
}

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (r *resolver) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if t, err := protoregistry.GlobalTypes.FindExtensionByName(name); err == nil {
		return t, nil
	}
	return r.Types.FindExtensionByName(name) //nolint:wrapcheck // as above
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (r *resolver) FindExtensionByNumber(message protoreflect.FullName, n protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if t, err := protoregistry.GlobalTypes.FindExtensionByNumber(message, n); err == nil {
		return t, nil
	}
	return r.Types.FindExtensionByNumber(message, n) //nolint:wrapcheck // as above
}

// plainService is a service without its google.api.http rules, which are not the
// transcoder's: one that it does not understand must not keep it from the rest.
type plainService struct{ protoreflect.ServiceDescriptor }

// Methods implements protoreflect.ServiceDescriptor.
func (s plainService) Methods() protoreflect.MethodDescriptors {
	return plainMethods{s.ServiceDescriptor.Methods()}
}

type plainMethods struct{ protoreflect.MethodDescriptors }

// Get implements protoreflect.MethodDescriptors.
func (m plainMethods) Get(i int) protoreflect.MethodDescriptor {
	return plainMethod{m.MethodDescriptors.Get(i)}
}

type plainMethod struct{ protoreflect.MethodDescriptor }

// Options implements protoreflect.Descriptor: whether a GET may call is all that is
// asked of them.
func (m plainMethod) Options() protoreflect.ProtoMessage {
	plain := &descriptorpb.MethodOptions{}
	if o, ok := m.MethodDescriptor.Options().(*descriptorpb.MethodOptions); ok && o != nil {
		plain.IdempotencyLevel = o.IdempotencyLevel
	}
	return plain
}
