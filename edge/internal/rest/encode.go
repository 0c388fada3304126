package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// encoder writes messages as JSON, on one line, always the same bytes for the
// same message.
type encoder struct {
	types  *Types
	opaque protoreflect.MessageDescriptor // what stands in for types that are not known
}

// newOpaque describes what stands in for types that are not known.
func newOpaque() (protoreflect.MessageDescriptor, error) {
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("keelson/edge/opaque.proto"), Package: proto.String("keelson.edge"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("Opaque"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name: proto.String("value"), JsonName: proto.String("value"), Number: proto.Int32(1),
				Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_BYTES.Enum(),
			}},
		}},
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("describe opaque messages: %w", err)
	}
	return file.Messages().Get(0), nil
}

// message returns a message as JSON. A message in an Any whose type is not known
// here, or which does not parse, is {"@type": ..., "value": base64}.
func (e *encoder) message(m proto.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{Resolver: e.types, AllowPartial: true}.Marshal(m)
	if err != nil {
		if raw, err = e.withOpaque(m); err != nil {
			return nil, fmt.Errorf("write %s as JSON: %w", m.ProtoReflect().Descriptor().FullName(), err)
		}
	}
	return compact(raw), nil
}

// compact drops the spaces that protojson puts in at its whim.
func compact(raw []byte) []byte {
	b := bytes.NewBuffer(make([]byte, 0, len(raw)))
	if json.Compact(b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

// field returns the value of one field as JSON, with what it is when it is not
// set.
func (e *encoder) field(m protoreflect.Message, fd protoreflect.FieldDescriptor) ([]byte, error) {
	if md := fd.Message(); md != nil && !fd.IsList() && !fd.IsMap() {
		return e.message(m.Get(fd).Message().Interface())
	}
	only := m.New()
	if m.Has(fd) {
		only.Set(fd, m.Get(fd))
	}
	// What is within the field is as everywhere: without what is not set.
	raw, err := protojson.MarshalOptions{Resolver: e.types, AllowPartial: true, EmitUnpopulated: !m.Has(fd)}.Marshal(only.Interface())
	if err != nil {
		if raw, err = e.withOpaque(only.Interface()); err != nil {
			return nil, fmt.Errorf("write %s as JSON: %w", fd.FullName(), err)
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, fmt.Errorf("write %s as JSON: %w", fd.FullName(), err)
	}
	if fields[fd.JSONName()] == nil {
		return []byte("null"), nil
	}
	return compact(fields[fd.JSONName()]), nil
}

// withOpaque writes a copy of a message in which what is in an Any and cannot be
// shown is opaque.
func (e *encoder) withOpaque(m proto.Message) ([]byte, error) {
	c := proto.Clone(m)
	o := &opaqueTypes{Types: e.types, mt: dynamicpb.NewMessageType(e.opaque), urls: map[string]bool{}}
	o.find(c.ProtoReflect())
	o.replace = true
	o.find(c.ProtoReflect())
	return protojson.MarshalOptions{Resolver: o, AllowPartial: true}.Marshal(c)
}

// opaqueTypes is a resolver to which some types are bytes.
type opaqueTypes struct {
	*Types
	mt      protoreflect.MessageType
	urls    map[string]bool
	replace bool
}

// FindMessageByURL implements protoregistry.MessageTypeResolver.
func (o *opaqueTypes) FindMessageByURL(url string) (protoreflect.MessageType, error) {
	if o.urls[url] {
		return o.mt, nil
	}
	return o.Types.FindMessageByURL(url)
}

// find visits every Any in a message: at first to see which types cannot be
// shown, then to replace the content of theirs.
func (o *opaqueTypes) find(m protoreflect.Message) {
	if m.Descriptor().FullName() == anyName {
		o.any(m)
		return
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool { o.find(v.Message()); return true })
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				o.find(v.List().Get(i).Message())
			}
		default:
			o.find(v.Message())
		}
		return true
	})
}

func (o *opaqueTypes) any(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	urlField, valueField := fields.ByNumber(1), fields.ByNumber(2)
	url, value := m.Get(urlField).String(), m.Get(valueField).Bytes()
	if url == "" && len(value) == 0 {
		return
	}
	inner, err := o.inner(url, value)
	if !o.replace {
		if err != nil {
			o.urls[url] = true
			return
		}
		o.find(inner)
		return
	}
	var packed []byte
	if o.urls[url] {
		holder := o.mt.New()
		holder.Set(holder.Descriptor().Fields().ByNumber(1), protoreflect.ValueOfBytes(value))
		packed, err = proto.Marshal(holder.Interface())
		if url == "" || strings.HasSuffix(url, "/") {
			m.Set(urlField, protoreflect.ValueOfString("unknown"))
			o.urls["unknown"] = true
		}
	} else if err == nil {
		o.find(inner)
		packed, err = proto.MarshalOptions{AllowPartial: true}.Marshal(inner.Interface())
	}
	if err == nil {
		m.Set(valueField, protoreflect.ValueOfBytes(packed))
	}
}

// inner returns the message in an Any when it can be shown.
func (o *opaqueTypes) inner(url string, value []byte) (protoreflect.Message, error) {
	mt, err := o.Types.FindMessageByURL(url)
	if err != nil {
		return nil, err
	}
	m := mt.New()
	if err := (proto.UnmarshalOptions{AllowPartial: true, Resolver: o.Types}).Unmarshal(value, m.Interface()); err != nil {
		return nil, err
	}
	if m.Descriptor().FullName() == anyName || !isOneValue(m.Descriptor()) {
		return m, nil
	}
	// A Timestamp out of its range and the like have no JSON.
	if _, err := protojson.Marshal(m.Interface()); err != nil {
		return nil, err
	}
	return m, nil
}

var _ protoregistry.MessageTypeResolver = (*opaqueTypes)(nil)
