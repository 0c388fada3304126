package config

import (
	"errors"
	"reflect"
	"strings"
)

// check validates v by the tags of n, then by the Validate methods.
func (l *loader) check(n *node, v reflect.Value) {
	walk(n, v, "", func(n *node, v reflect.Value, path string) {
		if n.shape == scalar {
			l.checkScalar(n, v, path)
		}
	})
	wrong := map[string]bool{} // paths whose value says nothing
	for _, f := range l.faults {
		wrong[f.Path] = true
	}
	walk(n, v, "", func(n *node, v reflect.Value, path string) {
		if n.shape != record {
			return
		}
		l.validate(v, path, wrong)
		for _, index := range n.inlined {
			l.validate(v.FieldByIndex(index), path, wrong)
		}
	})
}

// walk calls f with v and all below it that n describes, what is inside first.
func walk(n *node, v reflect.Value, path string, f func(n *node, v reflect.Value, path string)) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch n.shape {
	case record:
		for _, field := range n.fields {
			walk(field, v.FieldByIndex(field.index), join(path, field.key), f)
		}
	case list:
		for i := range v.Len() {
			walk(n.elem, v.Index(i), item(path, i), f)
		}
	case table:
		for _, k := range sortedKeys(v) {
			elem := reflect.New(v.Type().Elem()).Elem()
			elem.Set(entryOf(v, k))
			walk(n.elem, elem, join(path, k), f)
		}
	}
	f(n, v, path)
}

func (l *loader) checkScalar(n *node, v reflect.Value, path string) {
	src := sourceOf(l.sources, path)
	if v.IsZero() && src.Kind == Default {
		return // nobody gave it
	}
	text := scalarText(v)
	shown := "the value " + text
	if n.secret {
		shown = "the value (hidden)"
	}
	if len(n.enum) > 0 && !oneOf(n.enum, text) {
		l.fault(src, path, "want "+n.what(), "%s is not known", shown)
	}
	for _, bound := range []struct {
		text, words string
		wrong       func(limit reflect.Value) bool
	}{
		{n.min, "is too small", func(limit reflect.Value) bool { return less(v, limit) }},
		{n.max, "is too large", func(limit reflect.Value) bool { return less(limit, v) }},
	} {
		limit := reflect.New(n.typ).Elem()
		if bound.text != "" && setScalar(limit, bound.text, true) == nil && bound.wrong(limit) {
			l.fault(src, path, "want "+n.what()+rangeWords(n), "%s %s", shown, bound.words)
		}
	}
}

func oneOf(enum []string, text string) bool {
	for _, e := range enum {
		if strings.EqualFold(e, text) {
			return true
		}
	}
	return false
}

func rangeWords(n *node) string {
	switch {
	case n.min != "" && n.max != "":
		return ", from " + n.min + " to " + n.max
	case n.min != "":
		return ", " + n.min + " or more"
	case n.max != "":
		return ", " + n.max + " or less"
	}
	return ""
}

// validate asks the struct itself.
func (l *loader) validate(v reflect.Value, path string, wrong map[string]bool) {
	if v.CanAddr() {
		v = v.Addr()
	}
	if !v.CanInterface() {
		return // an embedded struct of an unexported type
	}
	if asks, ok := v.Interface().(Validator); ok {
		l.invalid(asks.Validate(), path, wrong)
	}
}

// invalid takes the error of a Validate method apart. What concerns a value that
// could not be read is left out.
func (l *loader) invalid(err error, path string, wrong map[string]bool) {
	if err == nil {
		return
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			l.invalid(e, path, wrong)
		}
		return
	}
	f := Fault{Problem: err.Error()}
	if own, ok := errors.AsType[Fault](err); ok {
		f = own
	}
	if at, ok := errors.AsType[interface {
		error
		ConfigPath() string
	}](err); ok {
		path = join(path, at.ConfigPath())
	}
	f.Path = strings.Trim(path, ".")
	if !within(f.Path, wrong) {
		if f.Source = sourceOf(l.sources, f.Path); f.Source.Kind == Default {
			f.Source = sourceOf(l.records, f.Path)
		}
		l.faults = append(l.faults, f)
	}
}

// within says whether paths holds path or something that contains it.
func within(path string, paths map[string]bool) bool {
	for ; path != ""; path = path[:max(strings.LastIndexAny(path, ".["), 0)] {
		if paths[path] {
			return true
		}
	}
	return false
}
