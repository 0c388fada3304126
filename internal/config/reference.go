package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Field describes one setting.
type Field struct {
	// Path is its key with those above it; "[]" stands for the items of a list,
	// "<key>" for a map's entries.
	Path string
	// Type says in words what is valid, with the range.
	Type string
	// Default is the value if nobody gives one; empty for none.
	Default string
	// Env is the variable that sets it; empty inside lists and maps.
	Env string
	// Reload says that it may change while the service runs.
	Reload bool
	// Secret says that its value is never shown.
	Secret bool
	// Doc is the sentence of the doc tag.
	Doc string
}

// Reference lists every setting of the struct that into points to, in the order
// of declaration. What the struct holds counts as the default.
func Reference(into any) ([]Field, error) {
	v, schema, err := open(into)
	if err != nil {
		return nil, err
	}
	v = clone(schema, v)
	newLoader(schema, v).initial(schema, v, "")
	var fields []Field
	for path, n := range schema.all("") {
		if n.shape == record {
			continue
		}
		f := Field{Path: path, Type: n.words(), Reload: n.reload, Secret: n.secret, Doc: n.doc}
		if inside := strings.ContainsAny(path, "[<"); !inside {
			f.Env = variableName(Options{}.prefix(), path)
			f.Default = defaultOf(schema, v, path)
		} else if n.def != nil {
			f.Default = *n.def
		}
		if n.secret && f.Default != "" {
			f.Default = hidden
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// words is what, short for lists of structs, with the range.
func (n *node) words() string {
	if n.elem != nil && n.elem.shape == record {
		if n.shape == table {
			return "a mapping of structs"
		}
		return "a list of structs"
	}
	return n.what() + rangeWords(n)
}

func defaultOf(schema *node, v reflect.Value, path string) string {
	n := schema
	for _, key := range strings.Split(path, ".") {
		n = n.child(key, sameKey)
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return deref(n.def)
			}
			v = v.Elem()
		}
		v = v.FieldByIndex(n.index)
	}
	switch {
	case v.IsZero():
		return ""
	case v.Kind() == reflect.Pointer:
		v = v.Elem()
	}
	switch n.shape {
	case scalar:
		return scalarText(v)
	case list:
		if n.elem.shape == scalar {
			items := make([]string, v.Len())
			for i := range items {
				items[i] = scalarText(v.Index(i))
			}
			return strings.Join(items, ", ")
		}
	}
	return deref(n.def)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Markdown writes fields as a table, for docs/config.md.
func Markdown(fields []Field) string {
	var b strings.Builder
	b.WriteString("| key | type | default | variable | reloads | what it is |\n|---|---|---|---|---|---|\n")
	cell := func(s string) string {
		return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(s)
	}
	code := func(s string) string {
		if s == "" {
			return ""
		}
		return "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
	}
	for _, f := range fields {
		reloads := ""
		if f.Reload {
			reloads = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", code(f.Path), cell(f.Type), code(f.Default), code(f.Env), reloads, cell(f.Doc))
	}
	return b.String()
}
