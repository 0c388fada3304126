package logs

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
)

// encoder appends slog attributes to a line.
type encoder struct {
	buf   []byte
	open  []string // groups to open before the next field
	depth int      // groups open
	names []name   // keys of the attributes and groups so far, in open objects
	room  [8]name  // for names
}

// key appends a comma, unless the object has just been opened, and a key.
func (e *encoder) key(key string) {
	e.comma()
	e.buf = append(appendString(e.buf, key), ':')
}

func (e *encoder) comma() {
	if n := len(e.buf); n > 0 && e.buf[n-1] == '{' {
		return
	}
	e.buf = append(e.buf, ',')
}

// field appends what comes before an attribute's value: the groups that are
// due, and its key.
func (e *encoder) field(key string) {
	for _, group := range e.open {
		e.key(e.unique(group))
		e.buf = append(e.buf, '{')
		e.depth++
	}
	e.open = nil
	e.key(e.unique(key))
}

// top tells whether the next field is one of the line itself.
func (e *encoder) top() bool { return e.depth == 0 && len(e.open) == 0 }

func (e *encoder) attr(a slog.Attr) {
	v := a.Value
	if err, ok := errorOf(v); ok && (a.Key == "error" || a.Key == "err") {
		e.error(safely(err.Error), errs.Reason(err))
		return
	}
	v = v.Resolve()
	if v.Kind() == slog.KindGroup {
		e.group(a.Key, v.Group())
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	key := a.Key
	switch {
	case !e.top():
	case key == "error" && v.Kind() == slog.KindString:
		e.error(v.String(), "")
		return
	case taken(key):
		key = "labels." + strings.ReplaceAll(key, ".", "_")
	}
	e.field(key)
	e.value(v)
}

// errorOf finds an error in a value before it is resolved: one that is a
// slog.LogValuer as well is still an error.
func errorOf(v slog.Value) (error, bool) {
	switch v.Kind() {
	case slog.KindAny, slog.KindLogValuer:
		err, ok := v.Any().(error)
		return err, ok && err != nil
	default:
		return nil, false
	}
}

func (e *encoder) error(text, reason string) {
	e.field(keyError)
	e.buf = appendString(e.buf, cut(text, maxError))
	if reason != "" {
		e.field(keyErrorType)
		e.buf = appendString(e.buf, reason)
	}
}

// group appends a group's attributes; an empty group is left out, and one
// without a name is inlined.
func (e *encoder) group(name string, attrs []slog.Attr) {
	if name == "" {
		for _, a := range attrs {
			e.attr(a)
		}
		return
	}
	outer, depth := e.open, e.depth
	e.open = append(append([]string(nil), outer...), name)
	for _, a := range attrs {
		e.attr(a)
	}
	if e.open != nil { // nothing was written
		e.open = outer
		return
	}
	for e.depth > depth+len(outer) {
		e.buf = append(e.buf, '}')
		e.depth--
	}
	e.forget()
}

func (e *encoder) value(v slog.Value) {
	switch v.Kind() {
	case slog.KindString:
		e.buf = appendString(e.buf, v.String())
	case slog.KindInt64:
		e.buf = strconv.AppendInt(e.buf, v.Int64(), 10)
	case slog.KindUint64:
		e.buf = strconv.AppendUint(e.buf, v.Uint64(), 10)
	case slog.KindFloat64:
		e.buf = appendFloat(e.buf, v.Float64(), 64)
	case slog.KindBool:
		e.buf = strconv.AppendBool(e.buf, v.Bool())
	case slog.KindDuration:
		e.buf = strconv.AppendInt(e.buf, int64(v.Duration()), 10)
	case slog.KindTime:
		e.buf = append(v.Time().AppendFormat(append(e.buf, '"'), time.RFC3339Nano), '"')
	default:
		e.any(v.Any())
	}
}

// any appends a Go value; one whose methods panic costs its value, not the
// caller.
func (e *encoder) any(v any) {
	kept := e.buf
	defer func() {
		if r := recover(); r != nil {
			e.buf = appendString(kept, fmt.Sprintf("!PANIC: %v", r))
		}
	}()
	e.buf = appendAny(e.buf, v, 0)
}

// appendFloat appends a number; JSON has none for NaN and the infinities.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendString(dst, strconv.FormatFloat(f, 'g', -1, bits))
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

// maxDepth bounds the nesting of Go values.
const maxDepth = 8

// appendAny appends a Go value. It walks pointers, slices, maps and structs
// itself, because encoding/json would print the proto messages inside with all
// their fields.
func appendAny(dst []byte, v any, depth int) []byte {
	if r := reflect.ValueOf(v); v == nil || r.Kind() == reflect.Pointer && r.IsNil() {
		return append(dst, "null"...)
	}
	switch t := v.(type) {
	case proto.Message:
		return appendProto(dst, t)
	case slog.LogValuer:
		return appendLogValue(dst, t)
	case json.Marshaler:
		return appendJSON(dst, t)
	case error:
		return appendString(dst, safely(t.Error))
	case encoding.TextMarshaler:
		return appendJSON(dst, t)
	}
	if depth == maxDepth {
		return appendString(dst, "…")
	}
	return appendReflect(dst, reflect.ValueOf(v), depth)
}

// appendLogValue appends what a value says it wants logged, and nothing else of
// it.
func appendLogValue(dst []byte, v slog.LogValuer) []byte {
	r := slog.AnyValue(v).Resolve()
	if r.Kind() != slog.KindGroup {
		e := encoder{buf: dst}
		e.value(r)
		return e.buf
	}
	e := encoder{buf: append(dst, '{'), depth: 1}
	for _, a := range r.Group() {
		e.attr(a)
	}
	return append(e.buf, '}')
}

func appendReflect(dst []byte, v reflect.Value, depth int) []byte {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(dst, "null"...)
		}
		return appendAny(dst, v.Elem().Interface(), depth+1)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return appendJSON(dst, v.Interface())
		}
		return appendList(dst, v, depth)
	case reflect.Map:
		return appendMap(dst, v, depth)
	case reflect.Struct:
		if m := messageOf(v); m != nil {
			return appendProto(dst, m)
		}
		return appendStruct(dst, v, depth)
	default:
		return appendJSON(dst, v.Interface())
	}
}

var messageType = reflect.TypeFor[proto.Message]()

// messageOf returns a message that was given by value, or nil: what is marked in
// it must stay unseen there too.
func messageOf(v reflect.Value) proto.Message {
	if !reflect.PointerTo(v.Type()).Implements(messageType) {
		return nil
	}
	at := reflect.New(v.Type())
	at.Elem().Set(v)
	m, _ := at.Interface().(proto.Message)
	return m
}

func appendList(dst []byte, v reflect.Value, depth int) []byte {
	dst = append(dst, '[')
	for i := range v.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendAny(dst, v.Index(i).Interface(), depth+1)
	}
	return append(dst, ']')
}

func appendMap(dst []byte, v reflect.Value, depth int) []byte {
	e := encoder{buf: append(dst, '{')}
	for it := v.MapRange(); it.Next(); {
		e.key(fmt.Sprint(it.Key().Interface()))
		e.buf = appendAny(e.buf, it.Value().Interface(), depth+1)
	}
	return append(e.buf, '}')
}

func appendStruct(dst []byte, v reflect.Value, depth int) []byte {
	e := encoder{buf: append(dst, '{')}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, ok := jsonName(f)
		if !ok {
			continue
		}
		e.key(name)
		e.buf = appendAny(e.buf, v.Field(i).Interface(), depth+1)
	}
	return append(e.buf, '}')
}

func appendJSON(dst []byte, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return appendString(dst, "!ERROR: "+err.Error())
	}
	return append(dst, raw...)
}

// safely returns what a String or Error method says, also when it panics, as a
// nil pointer in an interface does.
func safely(text func() string) (s string) {
	defer func() {
		if r := recover(); r != nil {
			s = fmt.Sprintf("!PANIC: %v", r)
		}
	}()
	return text()
}

// jsonName returns the key of an exported field, as encoding/json has it.
func jsonName(f reflect.StructField) (name string, ok bool) {
	if !f.IsExported() {
		return "", false
	}
	name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	switch name {
	case "-":
		return "", false
	case "":
		return f.Name, true
	}
	return name, true
}
