package rest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
)

var errUTF8 = errors.New("is not valid UTF-8")

// parseText makes a value of one text of a path or a query: of the field, or of
// one element when it is repeated. m is the message that the field is in. The
// forms are those of JSON (ProtoJSON), without quotes. The error reads after the
// name of the field.
func parseText(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	if md := fd.Message(); md != nil {
		return parseMessage(m, fd, text)
	}
	return parseScalar(fd, text)
}

func parseScalar(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		if text != "true" && text != "false" {
			return protoreflect.Value{}, fmt.Errorf("is %s, it must be true or false", quoted(text))
		}
		return protoreflect.ValueOfBool(text == "true"), nil
	case protoreflect.StringKind:
		if !utf8.ValidString(text) {
			return protoreflect.Value{}, errUTF8
		}
		return protoreflect.ValueOfString(text), nil
	case protoreflect.BytesKind:
		b, err := parseBytes(text)
		return protoreflect.ValueOfBytes(b), err
	case protoreflect.EnumKind:
		return parseEnum(fd.Enum(), text)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return parseFloat(fd.Kind(), text)
	default:
		return parseInteger(fd.Kind(), text)
	}
}

func parseInteger(kind protoreflect.Kind, text string) (protoreflect.Value, error) {
	switch kind {
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		n, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(n)), integerError(err, text, "a whole number from -2147483648 to 2147483647") //nolint:gosec // ParseInt checked it
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		n, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(n), integerError(err, text, "a whole number of 64 bits")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		n, err := strconv.ParseUint(text, 10, 32)
		return protoreflect.ValueOfUint32(uint32(n)), integerError(err, text, "a whole number from 0 to 4294967295") //nolint:gosec // ParseUint checked it
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		n, err := strconv.ParseUint(text, 10, 64)
		return protoreflect.ValueOfUint64(n), integerError(err, text, "a whole number of 64 bits, 0 or more")
	}
	return protoreflect.Value{}, fmt.Errorf("is of a kind (%s) that a URL cannot hold", kind)
}

func integerError(err error, text, want string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("is %s, it must be %s", quoted(text), want)
}

func parseFloat(kind protoreflect.Kind, text string) (protoreflect.Value, error) {
	bits := 64
	if kind == protoreflect.FloatKind {
		bits = 32
	}
	var f float64
	var err error
	switch text {
	case "NaN":
		f = math.NaN()
	case "Infinity":
		f = math.Inf(1)
	case "-Infinity":
		f = math.Inf(-1)
	default:
		if strings.Trim(text, "0123456789+-.eE") != "" { // Go takes more: 0x1p-2, 1_000, inf
			err = strconv.ErrSyntax
			break
		}
		f, err = strconv.ParseFloat(text, bits)
	}
	if err != nil {
		return protoreflect.Value{}, fmt.Errorf("is %s, it must be a number within %d bits, NaN, Infinity or -Infinity", quoted(text), bits)
	}
	if bits == 32 {
		return protoreflect.ValueOfFloat32(float32(f)), nil
	}
	return protoreflect.ValueOfFloat64(f), nil
}

// parseBytes takes base64 of both alphabets, with padding or without. A space is
// a "+" that was not percent-encoded.
func parseBytes(text string) ([]byte, error) {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(text), "=")
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("is not base64")
	}
	return b, nil
}

func parseEnum(ed protoreflect.EnumDescriptor, text string) (protoreflect.Value, error) {
	if v := ed.Values().ByName(protoreflect.Name(text)); v != nil {
		return protoreflect.ValueOfEnum(v.Number()), nil
	}
	if n, err := strconv.ParseInt(text, 10, 32); err == nil {
		number := protoreflect.EnumNumber(n)
		if ed.Values().ByNumber(number) != nil || !ed.IsClosed() {
			return protoreflect.ValueOfEnum(number), nil
		}
	}
	return protoreflect.Value{}, fmt.Errorf("is %s, it must be %s%s", quoted(text), oneOf(ed), suggest(text, enumNames(ed)))
}

// oneOf says which values an enum takes.
func oneOf(ed protoreflect.EnumDescriptor) string {
	names := enumNames(ed)
	const shown = 16
	list := strings.Join(names[:min(len(names), shown)], ", ")
	if len(names) > shown {
		list += ", ..."
	}
	return "one of " + list + ", or a number"
}

func enumNames(ed protoreflect.EnumDescriptor) []string {
	names := make([]string, ed.Values().Len())
	for i := range names {
		names[i] = string(ed.Values().Get(i).Name())
	}
	return names
}

// parseMessage makes one of the messages whose JSON is one text.
func parseMessage(m protoreflect.Message, fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	v := newElement(m, fd)
	if !utf8.ValidString(text) {
		return v, errUTF8
	}
	md := fd.Message()
	if isWrapper(md) {
		inner := md.Fields().ByNumber(1)
		x, err := parseScalar(inner, text)
		if err == nil {
			v.Message().Set(inner, x)
		}
		return v, err
	}
	if md.FullName() == maskName {
		return v, parseMask(v.Message(), text)
	}
	if err := protojson.Unmarshal([]byte(strconv.Quote(text)), v.Message().Interface()); err != nil {
		want := `a time of RFC 3339, such as "2026-01-31T12:00:00Z"`
		if md.FullName() == durationName {
			want = `seconds with an "s" after them, such as "1.5s"`
		}
		return v, fmt.Errorf("is %s, it must be %s", quoted(text), want)
	}
	return v, nil
}

// newElement returns a new value of a message field, or of one element of it.
func newElement(m protoreflect.Message, fd protoreflect.FieldDescriptor) protoreflect.Value {
	if fd.IsList() {
		return m.Mutable(fd).List().NewElement()
	}
	return m.NewField(fd)
}

// parseMask takes a FieldMask in its JSON form, with lowerCamelCase names, and
// also with the names as they are in the .proto.
func parseMask(m protoreflect.Message, text string) error {
	paths := m.Mutable(m.Descriptor().Fields().ByNumber(1)).List()
	if text == "" {
		return nil
	}
	for path := range strings.SplitSeq(text, ",") {
		if path = strings.TrimSpace(path); path == "" {
			return fmt.Errorf("is %s, it must be paths with commas between them", quoted(text))
		}
		paths.Append(protoreflect.ValueOfString(path))
	}
	return nil
}

// quoted returns a text for a message, shortened.
func quoted(text string) string {
	const longest = 64
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return strconv.Quote(text)
}
