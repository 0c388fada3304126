package logs

import (
	"encoding/base64"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// maxProto is about how much of a message a line holds, in bytes.
	maxProto = 2 << 10
	// maxProtoDepth bounds the nesting of messages.
	maxProtoDepth = 16

	redacted  = `"[redacted]"`
	truncated = `"…"`
)

// appendProto appends a message as proto JSON, without the values of fields
// marked debug_redact, and cut, still as valid JSON, at about [maxProto].
func appendProto(dst []byte, m proto.Message) []byte {
	r := m.ProtoReflect()
	if !r.IsValid() {
		return append(dst, "null"...)
	}
	p := protoEncoder{encoder: encoder{buf: dst}, limit: len(dst) + maxProto}
	p.message(r)
	return p.buf
}

// protoEncoder renders messages itself: protojson knows no redaction, and a
// redacted clone could not say so in fields that are not strings.
type protoEncoder struct {
	encoder
	limit int // of len(buf)
	level int
}

func (p *protoEncoder) full() bool { return len(p.buf) >= p.limit }

func (p *protoEncoder) message(m protoreflect.Message) {
	if p.level == maxProtoDepth || p.full() {
		p.buf = append(p.buf, truncated...)
		return
	}
	p.level++
	defer func() { p.level-- }()
	if p.wellKnown(m) {
		return
	}
	p.buf = append(p.buf, '{')
	p.fields(m)
	p.buf = append(p.buf, '}')
}

func (p *protoEncoder) fields(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if p.full() {
			p.key("…")
			p.buf = append(p.buf, truncated...)
			return false
		}
		name := f.JSONName()
		if f.IsExtension() {
			name = "[" + string(f.FullName()) + "]"
		}
		p.key(name)
		if redacts(f) {
			p.buf = append(p.buf, redacted...)
		} else {
			p.field(f, v)
		}
		return true
	})
}

// redacts tells whether a field is marked debug_redact.
func redacts(f protoreflect.FieldDescriptor) bool {
	switch o := f.Options().(type) {
	case nil:
		return false
	case *descriptorpb.FieldOptions:
		return o.GetDebugRedact()
	default: // options of a descriptor made at run time
		m := o.ProtoReflect()
		mark := m.Descriptor().Fields().ByName("debug_redact")
		return mark != nil && mark.Kind() == protoreflect.BoolKind && m.Get(mark).Bool()
	}
}

func (p *protoEncoder) field(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case f.IsMap():
		p.buf = append(p.buf, '{')
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			if p.full() {
				p.key("…")
				p.buf = append(p.buf, truncated...)
				return false
			}
			p.key(cut(k.String(), maxProto))
			p.scalar(f.MapValue(), v)
			return true
		})
		p.buf = append(p.buf, '}')
	case f.IsList():
		p.list(f, v.List())
	default:
		p.scalar(f, v)
	}
}

func (p *protoEncoder) list(f protoreflect.FieldDescriptor, l protoreflect.List) {
	p.buf = append(p.buf, '[')
	for i := range l.Len() {
		if i > 0 {
			p.buf = append(p.buf, ',')
		}
		if p.full() {
			p.buf = append(p.buf, truncated...)
			break
		}
		p.scalar(f, l.Get(i))
	}
	p.buf = append(p.buf, ']')
}

func (p *protoEncoder) scalar(f protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		p.message(v.Message())
	case protoreflect.StringKind:
		p.buf = appendString(p.buf, cut(v.String(), max(0, p.limit-len(p.buf))))
	case protoreflect.BytesKind:
		p.bytes(v.Bytes())
	case protoreflect.EnumKind:
		p.enum(f.Enum(), v.Enum())
	case protoreflect.FloatKind:
		p.buf = appendFloat(p.buf, v.Float(), 32)
	case protoreflect.DoubleKind:
		p.buf = appendFloat(p.buf, v.Float(), 64)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		p.buf = appendString(p.buf, v.String()) // proto JSON has them as strings
	default:
		p.buf = append(p.buf, v.String()...)
	}
}

func (p *protoEncoder) bytes(raw []byte) {
	short := raw[:min(len(raw), max(0, p.limit-len(p.buf)))]
	p.buf = base64.StdEncoding.AppendEncode(append(p.buf, '"'), short)
	if len(short) < len(raw) {
		p.buf = append(p.buf, "…"...)
	}
	p.buf = append(p.buf, '"')
}

func (p *protoEncoder) enum(e protoreflect.EnumDescriptor, n protoreflect.EnumNumber) {
	if value := e.Values().ByNumber(n); value != nil {
		p.buf = appendString(p.buf, string(value.Name()))
		return
	}
	p.buf = strconv.AppendInt(p.buf, int64(n), 10)
}

// wellKnown renders messages that have a JSON form of their own and no fields
// to mark, and looks into Any.
func (p *protoEncoder) wellKnown(m protoreflect.Message) bool {
	if m.Descriptor().FullName() == "google.protobuf.Any" {
		p.any(m)
		return true
	}
	if !ownForm(m) {
		return false
	}
	raw, err := protojson.Marshal(m.Interface())
	if err != nil || len(raw) > max(64, p.limit-len(p.buf)) {
		raw = []byte(truncated)
	}
	p.buf = append(p.buf, raw...)
	return true
}

// ownForm tells whether proto JSON writes a message other than by its fields.
func ownForm(m protoreflect.Message) bool {
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask",
		"google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue",
		"google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue",
		"google.protobuf.Int32Value", "google.protobuf.Int64Value", "google.protobuf.UInt32Value",
		"google.protobuf.UInt64Value", "google.protobuf.FloatValue", "google.protobuf.DoubleValue":
		return true
	}
	return false
}

// any renders what an Any holds when its type is linked in, and nothing of it
// otherwise: what cannot be read cannot be redacted.
func (p *protoEncoder) any(m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	a := &anypb.Any{TypeUrl: m.Get(fields.ByName("type_url")).String(), Value: m.Get(fields.ByName("value")).Bytes()}
	p.buf = append(p.buf, '{')
	p.key("@type")
	p.buf = appendString(p.buf, cut(a.GetTypeUrl(), 256))
	inner, err := a.UnmarshalNew()
	switch {
	case err != nil:
		p.key("value")
		p.buf = append(p.buf, `"[unknown type]"`...)
	case ownForm(inner.ProtoReflect()) || inner.ProtoReflect().Descriptor().FullName() == "google.protobuf.Any":
		p.key("value")
		p.message(inner.ProtoReflect())
	default:
		p.fields(inner.ProtoReflect())
	}
	p.buf = append(p.buf, '}')
}
