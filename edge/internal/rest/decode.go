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
	if md := scratch.Descriptor(); isOneValue(md) || g.null() {
		g.add(g.next(), prefix, "INVALID_VALUE", "is "+literally(doc.raw)+", it must be "+wantsMessage(md))
	} else {
		g.message(scratch, prefix, 0)
	}
	if g.bad.count == 0 {
		// protojson puts its name and an odd space before what it says.
		text := strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(why.Error(), "proto:"), "\u00a0", " "))
		g.bad.add(prefix, "INVALID_VALUE", "does not fit "+string(scratch.Descriptor().FullName())+": "+text)
	}
	return g.bad
}
