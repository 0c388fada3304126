package edge

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

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
