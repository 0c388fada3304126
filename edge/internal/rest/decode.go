package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// maxNested is how deep messages may be nested in JSON and in parameters, as in
// protobuf's own parsers of other languages.
const maxNested = 100

// decoder reads JSON bodies.
type decoder struct{ types *types }

// body puts JSON into the message, or into a field of it.
func (d *decoder) body(m protoreflect.Message, field protoreflect.FieldDescriptor, raw []byte) *fault {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil // as {}: what is required, the service says
	}
	if field == nil {
		return d.message(m, raw, "")
	}
	if md := field.Message(); md != nil && !field.IsList() && !field.IsMap() && !isOneValue(md) {
		return d.message(m.Mutable(field).Message(), raw, string(field.Name()))
	}
	if f := syntax(raw, string(field.Name())); f != nil {
		return f
	}
	wrapped := append(append(append([]byte("{"), strconv.Quote(field.JSONName())+":"...), raw...), '}')
	into := m.New()
	if err := d.unmarshal(wrapped, into); err != nil {
		return d.diagnose(m.New(), wrapped, "", err)
	}
	if into.Has(field) {
		m.Set(field, into.Get(field))
	}
	return nil
}

func (d *decoder) unmarshal(raw []byte, m protoreflect.Message) error {
	return protojson.UnmarshalOptions{Resolver: d.types, RecursionLimit: maxNested, AllowPartial: true}.Unmarshal(raw, m.Interface())
}

// message puts a JSON object into a message; prefix is its field path.
func (d *decoder) message(m protoreflect.Message, raw []byte, prefix string) *fault {
	err := d.unmarshal(raw, m)
	if err == nil {
		return nil
	}
	if f := syntax(raw, prefix); f != nil {
		return f
	}
	return d.diagnose(m.New(), raw, prefix, err)
}

// syntax says where raw is not one JSON value.
func syntax(raw []byte, field string) *fault {
	if !utf8.Valid(raw) {
		at := 0
		for at < len(raw) {
			r, n := utf8.DecodeRune(raw[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		return badJSON(raw, at, field, "is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	var skipped json.RawMessage
	err := dec.Decode(&skipped)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return badJSON(raw, int(dec.InputOffset()), field, "has more after the JSON value")
	}
	var bad *json.SyntaxError
	if errors.As(err, &bad) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return badJSON(raw, max(int(bad.Offset)-1, 0), field, strings.TrimPrefix(bad.Error(), "json: "))
	}
	return badJSON(raw, len(raw), field, "ends within the JSON value")
}

// badJSON says what is wrong at a byte of a body.
func badJSON(raw []byte, at int, field, what string) *fault {
	line, column := position(raw, at)
	where := "line " + strconv.Itoa(line) + ", column " + strconv.Itoa(column)
	return wrong(errs.InvalidArgument(ReasonInvalidJSON, "the body is no JSON at %s: %s", where, what).With(
		errs.Field(field, ReasonInvalidJSON, "is no JSON at "+where+": "+what),
		errs.Meta("line", strconv.Itoa(line)), errs.Meta("column", strconv.Itoa(column))))
}

// position returns the line and the column, in characters, of a byte; from 1.
func position(raw []byte, at int) (line, column int) {
	before := raw[:min(at, len(raw))]
	line = 1 + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
}

// diagnose finds out what is wrong with JSON that parses but does not fit the
// message; scratch is a message to try things with. It never finds nothing.
func (d *decoder) diagnose(scratch protoreflect.Message, raw []byte, prefix string, why error) *fault {
	g := &diagnosis{d: d, raw: raw}
	g.dec = json.NewDecoder(bytes.NewReader(raw))
	g.dec.UseNumber()
	g.message(scratch, prefix, 0)
	if f := g.bad.fault(); f != nil {
		return f
	}
	// protojson puts its name and an odd space before what it says.
	text := strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(why.Error(), "proto:"), "\u00a0", " "))
	return invalid(prefix, "does not fit "+string(scratch.Descriptor().FullName())+": "+text)
}

// diagnosis walks JSON and a message in parallel, in one pass.
type diagnosis struct {
	d   *decoder
	raw []byte
	dec *json.Decoder
	bad violations
}

// message reads one value that should be an object with a message's fields. It
// returns false when there is no use in reading on.
func (g *diagnosis) message(m protoreflect.Message, path string, depth int) bool {
	if depth > maxNested {
		g.bad.add(path, "TOO_DEEP", "is nested more than "+strconv.Itoa(maxNested)+" deep")
		return false
	}
	t, err := g.dec.Token()
	if err != nil {
		return false
	}
	if t == nil {
		return true
	}
	if t != json.Delim('{') {
		g.add(g.dec.InputOffset(), path, "INVALID_VALUE", "must be an object with the fields of "+string(m.Descriptor().FullName()))
		return false
	}
	seen := map[protoreflect.FieldNumber]bool{}
	for g.dec.More() {
		if g.bad.full() || !g.member(m, path, depth, seen) {
			return false
		}
	}
	_, err = g.dec.Token()
	return err == nil
}

// add adds a violation at a byte of the body, see json.Decoder.InputOffset.
func (g *diagnosis) add(at int64, field, reason, what string) {
	line, column := position(g.raw, int(at))
	g.bad.add(field, reason, "(line "+strconv.Itoa(line)+", column "+strconv.Itoa(column)+") "+what)
}

func (g *diagnosis) member(m protoreflect.Message, path string, depth int, seen map[protoreflect.FieldNumber]bool) bool {
	t, err := g.dec.Token()
	name, ok := t.(string)
	if err != nil || !ok {
		return false
	}
	at := g.dec.InputOffset()
	fd := fieldNamed(m.Descriptor(), name)
	if fd == nil {
		if !strings.HasPrefix(name, "[") && !(name == "@type" && m.Descriptor().FullName() == anyName) {
			g.add(at, join(path, name), "UNKNOWN_FIELD", "is no field of "+string(m.Descriptor().FullName())+
				suggest(name, fieldNames(m.Descriptor())))
		}
		return g.skip()
	}
	field := join(path, string(fd.Name()))
	if seen[fd.Number()] {
		g.add(at, field, "BOUND_TWICE", "is given twice")
	}
	seen[fd.Number()] = true
	switch md := fd.Message(); {
	case md == nil || fd.IsMap() || isOneValue(md):
		return g.leaf(m, fd, field, at)
	case fd.IsList():
		return g.list(m, fd, field, depth)
	}
	return g.message(m.NewField(fd).Message(), field, depth+1)
}

// list reads a list of messages.
func (g *diagnosis) list(m protoreflect.Message, fd protoreflect.FieldDescriptor, field string, depth int) bool {
	t, err := g.dec.Token()
	if err != nil || t == nil {
		return err == nil
	}
	if t != json.Delim('[') {
		g.add(g.dec.InputOffset(), field, "INVALID_VALUE", "must be a list")
		return false
	}
	for i := 0; g.dec.More(); i++ {
		if !g.message(newElement(m, fd).Message(), field+"["+strconv.Itoa(i)+"]", depth+1) {
			return false
		}
	}
	_, err = g.dec.Token()
	return err == nil
}

// leaf tries one value by itself.
func (g *diagnosis) leaf(m protoreflect.Message, fd protoreflect.FieldDescriptor, field string, at int64) bool {
	var value json.RawMessage
	if g.dec.Decode(&value) != nil {
		return false
	}
	if g.fits(m, fd, value) {
		return true
	}
	var elements []json.RawMessage
	if fd.IsList() && json.Unmarshal(value, &elements) == nil {
		for i, e := range elements {
			if !g.bad.full() && !g.fits(m, fd, append(append([]byte("["), e...), ']')) {
				g.add(at, field+"["+strconv.Itoa(i)+"]", "INVALID_VALUE", "is "+quoted(string(e))+", it must be "+wants(fd))
			}
		}
		return true
	}
	want := wants(fd)
	if fd.IsList() {
		want = "a list, each " + want
	}
	g.add(at, field, "INVALID_VALUE", "is "+quoted(string(value))+", it must be "+want)
	return true
}

func (g *diagnosis) fits(m protoreflect.Message, fd protoreflect.FieldDescriptor, value []byte) bool {
	one := append(append(append([]byte("{"), strconv.Quote(fd.JSONName())+":"...), value...), '}')
	return g.d.unmarshal(one, m.New()) == nil
}

// skip reads one value and drops it.
func (g *diagnosis) skip() bool {
	var value json.RawMessage
	return g.dec.Decode(&value) == nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// wants describes the JSON of a value.
func wants(fd protoreflect.FieldDescriptor) string {
	if fd.IsMap() {
		return "an object, each value " + wants(fd.MapValue())
	}
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind:
		return "a text"
	case protoreflect.BytesKind:
		return "a text of base64"
	case protoreflect.EnumKind:
		return "the name of a value of " + string(fd.Enum().FullName())
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return "a number"
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return wantsMessage(fd.Message())
	}
	return "a whole number (" + fd.Kind().String() + ")"
}

func wantsMessage(md protoreflect.MessageDescriptor) string {
	switch {
	case md.FullName() == timestampName:
		return `a time of RFC 3339, such as "2026-01-31T12:00:00Z"`
	case md.FullName() == durationName:
		return `seconds with an "s" after them, such as "1.5s"`
	case md.FullName() == maskName:
		return `field paths with commas between them, such as "displayName,labels"`
	case isWrapper(md):
		return wants(md.Fields().ByNumber(1))
	}
	return "a " + string(md.FullName())
}
