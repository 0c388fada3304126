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
type decoder struct {
	types   *Types
	lenient bool // fields that are not known are no fault
}

// document is JSON that came in a request.
type document struct {
	raw  []byte
	line int // at which it begins in the body, from 1
	wrap int // bytes before it that are not the client's
}

// body puts JSON into the message, or into a field of it, and says all that is
// wrong with it.
func (d *decoder) body(m protoreflect.Message, field protoreflect.FieldDescriptor, doc document) violations {
	if len(bytes.TrimSpace(doc.raw)) == 0 {
		return violations{} // as {}: what is required, the service says
	}
	if field == nil {
		return d.message(m, doc, "")
	}
	if md := field.Message(); md != nil && !field.IsList() && !field.IsMap() && !isOneValue(md) {
		return d.message(m.Mutable(field).Message(), doc, string(field.Name()))
	}
	if bad := doc.syntax(string(field.Name())); bad.count > 0 {
		return bad
	}
	head := "{" + strconv.Quote(field.JSONName()) + ":"
	wrapped := document{append(append([]byte(head), doc.raw...), '}'), doc.line, len(head)}
	into := m.New()
	if err := d.unmarshal(wrapped.raw, into); err != nil {
		return d.diagnose(m.New(), wrapped, "", err)
	}
	if into.Has(field) {
		m.Set(field, into.Get(field))
	}
	return violations{}
}

func (d *decoder) unmarshal(raw []byte, m protoreflect.Message) error {
	return protojson.UnmarshalOptions{Resolver: d.types, RecursionLimit: maxNested, AllowPartial: true, DiscardUnknown: d.lenient}.Unmarshal(raw, m.Interface())
}

// message puts a JSON object into a message; prefix is its field path.
func (d *decoder) message(m protoreflect.Message, doc document, prefix string) violations {
	err := d.unmarshal(doc.raw, m)
	if err == nil {
		return violations{}
	}
	if bad := doc.syntax(prefix); bad.count > 0 {
		return bad
	}
	return d.diagnose(m.New(), doc, prefix, err)
}

// syntax says where the document is not one JSON value.
func (doc document) syntax(field string) violations {
	raw := doc.raw
	if !utf8.Valid(raw) {
		at := 0
		for at < len(raw) {
			r, n := utf8.DecodeRune(raw[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		return doc.badJSON(at, field, "is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	var skipped json.RawMessage
	err := dec.Decode(&skipped)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return violations{}
		}
		return doc.badJSON(int(dec.InputOffset()), field, "has more after the JSON value")
	}
	var bad *json.SyntaxError
	if errors.As(err, &bad) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return doc.badJSON(max(int(bad.Offset)-1, 0), field, strings.TrimPrefix(bad.Error(), "json: "))
	}
	return doc.badJSON(len(raw), field, "ends within the JSON value")
}

// badJSON says what is wrong at a byte of the document.
func (doc document) badJSON(at int, field, what string) violations {
	line, column := doc.position(at)
	where := place(line, column)
	bad := violations{reason: ReasonInvalidJSON, placed: true}
	bad.note("the body is no JSON at "+where+": "+what, errs.Field(field, ReasonInvalidJSON, "is no JSON at "+where+": "+what))
	bad.details = append(bad.details, errs.Meta("line", strconv.Itoa(line)), errs.Meta("column", strconv.Itoa(column)))
	return bad
}

// position returns the line and the column, in characters, of a byte; from 1.
func (doc document) position(at int) (line, column int) {
	before := doc.raw[min(doc.wrap, at, len(doc.raw)):min(at, len(doc.raw))]
	line = doc.line + bytes.Count(before, []byte("\n"))
	return line, 1 + utf8.RuneCount(before[1+bytes.LastIndexByte(before, '\n'):])
}

func place(line, column int) string {
	return "line " + strconv.Itoa(line) + ", column " + strconv.Itoa(column)
}

// diagnose finds out what is wrong with JSON that parses but does not fit the
// message; scratch is a message to try things with. It never finds nothing.
func (d *decoder) diagnose(scratch protoreflect.Message, doc document, prefix string, why error) violations {
	g := &diagnosis{d: d, doc: doc}
	g.dec = json.NewDecoder(bytes.NewReader(doc.raw))
	g.dec.UseNumber()
	g.message(scratch, prefix, 0)
	if g.bad.count == 0 {
		// protojson puts its name and an odd space before what it says.
		text := strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(why.Error(), "proto:"), "\u00a0", " "))
		g.bad.add(prefix, "INVALID_VALUE", "does not fit "+string(scratch.Descriptor().FullName())+": "+text)
	}
	return g.bad
}

// diagnosis walks JSON and a message in parallel, in one pass.
type diagnosis struct {
	d   *decoder
	doc document
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
	g.bad.placed = g.bad.placed || g.bad.count == 0
	g.bad.add(field, reason, "("+place(g.doc.position(int(at)))+") "+what)
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
		if !g.d.lenient && !strings.HasPrefix(name, "[") && !(name == "@type" && m.Descriptor().FullName() == anyName) {
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
				g.add(at, field+"["+strconv.Itoa(i)+"]", "INVALID_VALUE", "is "+literally(e)+", it must be "+wants(fd)+hint(fd, e))
			}
		}
		return true
	}
	want := wants(fd)
	if fd.IsList() {
		want = "a list, each " + want
	}
	g.add(at, field, "INVALID_VALUE", "is "+literally(value)+", it must be "+want+hint(fd, value))
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

// literally returns JSON for a message, as it came, shortened.
func literally(raw []byte) string {
	const longest = 64
	text := string(compact(raw))
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "..."
	}
	return text
}

// hint suggests the value of an enum that a misspelt one may stand for.
func hint(fd protoreflect.FieldDescriptor, raw []byte) string {
	var name string
	if fd.Enum() == nil || fd.IsMap() || json.Unmarshal(raw, &name) != nil {
		return ""
	}
	return suggest(name, enumNames(fd.Enum()))
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
		return oneOf(fd.Enum())
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
