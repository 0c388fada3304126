package rest

import (
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// literally returns JSON for a message, as it came, shortened.
func literally(raw []byte) string {
	const longest = 64
	text := string(compact(raw))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

// hint says more of a text that does not fit: which value of an enum a misspelt one
// may stand for, and what alone keeps a text from being one.
func hint(fd protoreflect.FieldDescriptor, raw []byte) string {
	var name string
	if json.Unmarshal(raw, &name) != nil || raw[0] != '"' {
		return ""
	}
	switch fd.Kind() {
	case protoreflect.EnumKind:
		return suggest(name, enumNames(fd.Enum()))
	case protoreflect.StringKind:
		return ` without half characters (\ud800 to \udfff come in pairs)`
	}
	return ""
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// wants describes the JSON of a value.
func wants(fd protoreflect.FieldDescriptor) string {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		return "a text"
	case protoreflect.BytesKind:
		return "a text of base64"
	case protoreflect.EnumKind:
		return oneOf(fd.Enum())
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return "a number"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return wantsMessage(fd.Message())
	}
	return "a whole number (" + fd.Kind().String() + ")"
}

func wantsMessage(md protoreflect.MessageDescriptor) string {
	const bounds = ", with numbers of 64 bits, no name twice, and at most 100 deep"
	switch md.FullName() {
	case timestampName:
		return `a time of RFC 3339, such as "2026-01-31T12:00:00Z"`
	case durationName:
		return `seconds with an "s" after them, such as "1.5s"`
	case maskName:
		return `field paths with commas between them, such as "displayName,labels"`
	case anyName:
		return `an object with the fields of a message and "@type", the name of a type that is known here, such as "type.googleapis.com/google.rpc.ErrorInfo"`
	case structName:
		return "an object" + bounds
	case listName:
		return "a list" + bounds
	case valueName:
		return "any JSON" + bounds
	}
	if isWrapper(md) {
		return wants(md.Fields().ByNumber(1))
	}
	return "an object with the fields of " + string(md.FullName())
}
