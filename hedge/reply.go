package hedge

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Opaque is a reply that is no proto.Message, such as the bytes that a gateway
// passes on, and can be hedged all the same.
type Opaque interface {
	// Fresh returns an empty reply for the second attempt. The first one may be
	// writing the receiver meanwhile.
	Fresh() Opaque
	// Adopt replaces the content by that of a reply that Fresh returned, which
	// is not used after that. The first attempt has ended.
	Adopt(from Opaque)
}

// kind is what a second reply is made from, without reading the first one.
type kind struct {
	opaque  Opaque
	message protoreflect.MessageType
}

// kindOf reports false for replies that cannot be hedged.
func kindOf(reply any) (kind, bool) {
	switch r := reply.(type) {
	case Opaque:
		return kind{opaque: r}, true
	case proto.Message:
		return kind{message: r.ProtoReflect().Type()}, true
	default:
		return kind{}, false
	}
}

func (k kind) fresh() any {
	if k.opaque != nil {
		return k.opaque.Fresh()
	}
	return k.message.New().Interface()
}

// adopt replaces the content of reply by that of another one of its kind.
func (k kind) adopt(reply, from any) {
	if k.opaque != nil {
		k.opaque.Adopt(from.(Opaque)) //nolint:forcetypeassert // fresh made it
		return
	}
	m := reply.(proto.Message) //nolint:forcetypeassert // kindOf has seen it
	proto.Reset(m)
	proto.Merge(m, from.(proto.Message)) //nolint:forcetypeassert // fresh made it
}
