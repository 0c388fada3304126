package rest

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	// The details that errors usually carry, so that they are shown by their fields.
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
)

// messageType returns the Go type of a message where it is linked and has this
// very descriptor, for speed, and a dynamic one otherwise.
func messageType(md protoreflect.MessageDescriptor) protoreflect.MessageType {
	if mt, err := protoregistry.GlobalTypes.FindMessageByName(md.FullName()); err == nil && mt.Descriptor() == md {
		return mt
	}
	return dynamicpb.NewMessageType(md)
}

// types finds the messages in Any: those of the contract's files and of what
// they import, then those that are linked.
type types struct{ contract *dynamicpb.Types }

func newTypes(services []protoreflect.ServiceDescriptor) *types {
	files := &protoregistry.Files{}
	for _, sd := range services {
		addFile(files, sd.ParentFile())
	}
	return &types{dynamicpb.NewTypes(files)}
}

// addFile registers a file and its imports. Of two different files of one path,
// or with one name, the first is taken.
func addFile(files *protoregistry.Files, fd protoreflect.FileDescriptor) {
	if fd == nil || fd.IsPlaceholder() {
		return
	}
	if _, err := files.FindFileByPath(fd.Path()); err == nil {
		return
	}
	if err := files.RegisterFile(fd); err != nil {
		return
	}
	for i := range fd.Imports().Len() {
		addFile(files, fd.Imports().Get(i).FileDescriptor)
	}
}

// FindMessageByName implements protoregistry.MessageTypeResolver.
func (t *types) FindMessageByName(name protoreflect.FullName) (protoreflect.MessageType, error) {
	if mt, err := t.contract.FindMessageByName(name); err == nil {
		return mt, nil
	}
	return protoregistry.GlobalTypes.FindMessageByName(name)
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (t *types) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if mt, err := t.contract.FindMessageByURL(url); err == nil {
		return mt, nil
	}
	return protoregistry.GlobalTypes.FindMessageByURL(url)
}

// FindExtensionByName implements protoregistry.ExtensionTypeResolver.
func (t *types) FindExtensionByName(name protoreflect.FullName) (protoreflect.ExtensionType, error) {
	if xt, err := t.contract.FindExtensionByName(name); err == nil {
		return xt, nil
	}
	return protoregistry.GlobalTypes.FindExtensionByName(name)
}

// FindExtensionByNumber implements protoregistry.ExtensionTypeResolver.
func (t *types) FindExtensionByNumber(message protoreflect.FullName, number protoreflect.FieldNumber) (protoreflect.ExtensionType, error) {
	if xt, err := t.contract.FindExtensionByNumber(message, number); err == nil {
		return xt, nil
	}
	return protoregistry.GlobalTypes.FindExtensionByNumber(message, number)
}
