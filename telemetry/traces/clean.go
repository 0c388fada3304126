package traces

import (
	"slices"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// clean returns a span whose strings are all UTF-8. One that is not, such as the
// name of a method that a caller made up, would cost every span of its batch:
// protobuf refuses to marshal it.
func clean(s sdktrace.ReadOnlySpan) sdktrace.ReadOnlySpan {
	if isClean(s) {
		return s
	}
	return cleaned{s}
}

func isClean(s sdktrace.ReadOnlySpan) bool {
	scope := s.InstrumentationScope()
	ok := utf8.ValidString(s.Name()) && utf8.ValidString(s.Status().Description) &&
		utf8.ValidString(scope.Name) && utf8.ValidString(scope.Version) && attributesAreClean(s.Attributes())
	for _, e := range s.Events() {
		ok = ok && utf8.ValidString(e.Name) && attributesAreClean(e.Attributes)
	}
	for _, l := range s.Links() {
		ok = ok && attributesAreClean(l.Attributes)
	}
	return ok
}

func attributesAreClean(kv []attribute.KeyValue) bool {
	for _, a := range kv {
		if !utf8.ValidString(string(a.Key)) || !valueIsClean(a.Value) {
			return false
		}
	}
	return true
}

func valueIsClean(v attribute.Value) bool {
	switch v.Type() {
	case attribute.STRING:
		return utf8.ValidString(v.AsString())
	case attribute.STRINGSLICE:
		return !slices.ContainsFunc(v.AsStringSlice(), func(s string) bool { return !utf8.ValidString(s) })
	case attribute.SLICE:
		return !slices.ContainsFunc(v.AsSlice(), func(v attribute.Value) bool { return !valueIsClean(v) })
	case attribute.MAP:
		return attributesAreClean(v.AsMap())
	default:
		return true
	}
}

// cleaned is a span that replaces in its strings what is no UTF-8.
type cleaned struct{ sdktrace.ReadOnlySpan }

func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

func (c cleaned) Name() string { return text(c.ReadOnlySpan.Name()) }

func (c cleaned) Attributes() []attribute.KeyValue {
	return cleanAttributes(c.ReadOnlySpan.Attributes())
}

func (c cleaned) Status() sdktrace.Status {
	s := c.ReadOnlySpan.Status()
	s.Description = text(s.Description)
	return s
}

func (c cleaned) InstrumentationScope() instrumentation.Scope {
	s := c.ReadOnlySpan.InstrumentationScope()
	s.Name, s.Version = text(s.Name), text(s.Version)
	return s
}

func (c cleaned) Events() []sdktrace.Event {
	var events []sdktrace.Event
	for _, e := range c.ReadOnlySpan.Events() {
		e.Name, e.Attributes = text(e.Name), cleanAttributes(e.Attributes)
		events = append(events, e)
	}
	return events
}

func (c cleaned) Links() []sdktrace.Link {
	var links []sdktrace.Link
	for _, l := range c.ReadOnlySpan.Links() {
		l.Attributes = cleanAttributes(l.Attributes)
		links = append(links, l)
	}
	return links
}

func cleanAttributes(kv []attribute.KeyValue) []attribute.KeyValue {
	out := make([]attribute.KeyValue, 0, len(kv))
	for _, a := range kv {
		out = append(out, attribute.KeyValue{Key: attribute.Key(text(string(a.Key))), Value: cleanValue(a.Value)})
	}
	return out
}

func cleanValue(v attribute.Value) attribute.Value {
	switch v.Type() {
	case attribute.STRING:
		return attribute.StringValue(text(v.AsString()))
	case attribute.STRINGSLICE:
		var list []string
		for _, s := range v.AsStringSlice() {
			list = append(list, text(s))
		}
		return attribute.StringSliceValue(list)
	case attribute.SLICE:
		var list []attribute.Value
		for _, inner := range v.AsSlice() {
			list = append(list, cleanValue(inner))
		}
		return attribute.SliceValue(list...)
	case attribute.MAP:
		return attribute.MapValue(cleanAttributes(v.AsMap())...)
	default:
		return v
	}
}
