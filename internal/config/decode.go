package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds how many YAML nodes are decoded from one text, aliases
// counted each time.
const maxNodes = 100_000

// loader applies layer after layer to one struct and keeps where each value
// came from and what was wrong.
type loader struct {
	schema  *node
	root    reflect.Value
	sources map[string]Source
	records map[string]Source // where each struct was given, for what it lacks
	faults  Faults
	nodes   int
}

func newLoader(schema *node, root reflect.Value) *loader {
	return &loader{schema: schema, root: root, sources: map[string]Source{}, records: map[string]Source{}}
}

func (l *loader) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	return l.faults.sorted()
}

func (l *loader) fault(src Source, path, valid, problem string, args ...any) {
	l.faults = append(l.faults, Fault{Source: src, Path: path, Problem: fmt.Sprintf(problem, args...), Valid: valid})
}

// initial records what code set and applies default tags to zero fields.
func (l *loader) initial(n *node, v reflect.Value, path string) {
	switch {
	case n.shape == record && v.Kind() == reflect.Struct:
		for _, f := range n.fields {
			l.initial(f, v.FieldByIndex(f.index), join(path, f.key))
		}
	case n.shape == record && !v.IsNil():
		l.initial(n, v.Elem(), path)
	case !v.IsZero():
		l.sources[path] = Source{Kind: Code}
	case n.def != nil:
		l.assign(n, v, path, *n.def, Source{})
	}
}

// replace records that the list at path comes from src, and forgets where the
// items of the one before it came from.
func (l *loader) replace(path string, src Source) {
	if before, ok := l.sources[path]; ok && before.Kind != Default {
		maps.DeleteFunc(l.sources, func(p string, _ Source) bool { return strings.HasPrefix(p, path+"[") })
	}
	l.sources[path] = src
}

// at gives src with the position of y, if src is a file.
func (s Source) at(y *yaml.Node) Source {
	if s.Kind == File {
		s.Line, s.Column = max(y.Line, 1), max(y.Column, 1)
	}
	return s
}

// decode puts y into v.
func (l *loader) decode(n *node, v reflect.Value, y *yaml.Node, path string, src Source) {
	given := y
	if y.Kind == yaml.AliasNode {
		y = y.Alias
	}
	if l.nodes++; l.nodes > maxNodes {
		if l.nodes == maxNodes+1 {
			l.fault(src.at(given), path, "", "more than %d values, aliases counted each time", maxNodes)
		}
		return
	}
	if strings.HasPrefix(y.Tag, "!") && !strings.HasPrefix(y.Tag, "!!") {
		l.fault(src.at(given), path, "leave it out", "the tag %s is not supported", y.Tag)
		return
	}
	if isNull(y) {
		return // a key with nothing after it leaves what is there
	}
	if want := (map[shape]yaml.Kind{scalar: yaml.ScalarNode, record: yaml.MappingNode, list: yaml.SequenceNode, table: yaml.MappingNode})[n.shape]; y.Kind != want {
		l.fault(src.at(given), path, "want "+n.what(), "%s is not what belongs here", kindWords(y))
		return
	}
	v = l.reach(n, v, path)
	switch n.shape {
	case scalar:
		l.scalar(n, v, y.Value, path, src.at(given))
	case record:
		l.record(n, v, y, path, src)
	case list:
		l.list(n, v, y, path, src)
	case table:
		l.table(n, v, y, path, src)
	}
}

func isNull(y *yaml.Node) bool { return y.Kind == yaml.ScalarNode && y.ShortTag() == "!!null" }

func kindWords(y *yaml.Node) string {
	switch y.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

// allocate follows a pointer, making what it points to if it is nil.
func allocate(v reflect.Value) reflect.Value {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem()
}

// reach is allocate, with the defaults of a struct that it makes.
func (l *loader) reach(n *node, v reflect.Value, path string) reflect.Value {
	made := v.Kind() == reflect.Pointer && v.IsNil()
	v = allocate(v)
	if made && n.shape == record {
		l.elementDefaults(n, v, path)
	}
	return v
}

// scalar sets one value. v is no pointer.
func (l *loader) scalar(n *node, v reflect.Value, text, path string, src Source) {
	fresh := reflect.New(v.Type()).Elem()
	err := setScalar(fresh, text, src.Kind != File)
	if err == nil {
		v.Set(fresh)
		l.sources[path] = src
		return
	}
	shown := strconv.Quote(abbreviate(text))
	switch {
	case n.secret:
		l.fault(src, path, "want "+n.what(), "the value (hidden) is wrong")
	case errors.Is(err, errWords):
		l.fault(src, path, "want "+n.what(), "%s is wrong", shown)
	default:
		l.fault(src, path, "want "+n.what(), "%s", err)
	}
}

func abbreviate(text string) string {
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "..."
	}
	return text
}

// pairs calls f with each key and value of a mapping, once for each key.
func (l *loader) pairs(y *yaml.Node, path string, src Source, f func(key, value *yaml.Node)) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch before := first[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			l.fault(src.at(y.Content[i]), path, "want a plain key", "the key is %s", kindWords(key))
		case key.ShortTag() == "!!merge":
			l.fault(src.at(key), path, "write the keys out", "merge keys (<<) are not supported")
		case before != nil && src.Kind == File:
			l.fault(src.at(key), join(path, shownKey(key.Value)), "keep one of them", "the key is given twice, first in line %d", before.Line)
		case before != nil:
			l.fault(src, join(path, shownKey(key.Value)), "keep one of them", "the key is given twice")
		default:
			first[key.Value] = key
			f(key, value)
		}
	}
}

func (l *loader) record(n *node, v reflect.Value, y *yaml.Node, path string, src Source) {
	l.records[path] = src.at(y)
	l.pairs(y, path, src, func(key, value *yaml.Node) {
		if f := n.child(key.Value, sameKey); f != nil {
			l.decode(f, v.FieldByIndex(f.index), value, join(path, f.key), src)
			return
		}
		l.fault(src.at(key), join(path, shownKey(key.Value)), l.suggestKey(n, path, key.Value), "unknown key")
	})
}

func (l *loader) list(n *node, v reflect.Value, y *yaml.Node, path string, src Source) {
	l.replace(path, src.at(y))
	if len(y.Content) == 0 && v.Len() == 0 {
		return // nil and empty are the same configuration
	}
	items := reflect.MakeSlice(v.Type(), len(y.Content), len(y.Content))
	for i, given := range y.Content {
		itemPath := item(path, i)
		if isNull(given) {
			l.fault(src.at(given), itemPath, "want "+n.elem.what(), "the item is empty")
			continue
		}
		l.element(n.elem, items.Index(i), given, itemPath, src)
	}
	v.Set(items)
}

func (l *loader) table(n *node, v reflect.Value, y *yaml.Node, path string, src Source) {
	if len(y.Content) == 0 {
		l.sources[path] = src.at(y)
	}
	l.pairs(y, path, src, func(key, value *yaml.Node) {
		l.entry(n, v, key.Value, func(elem reflect.Value, entryPath string) {
			l.element(n.elem, elem, value, entryPath, src)
		}, path)
	})
}

// entry lets f fill a copy of the entry at key, and puts it back.
func (l *loader) entry(n *node, v reflect.Value, key string, f func(elem reflect.Value, path string), path string) {
	v = allocate(v)
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	k := reflect.ValueOf(key).Convert(v.Type().Key())
	elem := reflect.New(v.Type().Elem()).Elem()
	if old := v.MapIndex(k); old.IsValid() {
		elem.Set(clone(n.elem, old))
	}
	f(elem, join(path, key))
	v.SetMapIndex(k, elem)
}

// element decodes an item of a list or table, with the defaults of its fields.
func (l *loader) element(n *node, v reflect.Value, y *yaml.Node, path string, src Source) {
	if n.shape == record {
		l.sources[path] = src.at(y)
		if v.Kind() == reflect.Struct {
			l.elementDefaults(n, v, path)
		}
	}
	l.decode(n, v, y, path, src)
}

func (l *loader) elementDefaults(n *node, v reflect.Value, path string) {
	for _, f := range n.fields {
		field, fieldPath := v.FieldByIndex(f.index), join(path, f.key)
		if f.shape == record && field.Kind() == reflect.Struct {
			l.elementDefaults(f, field, fieldPath)
			continue
		}
		if field.IsZero() {
			l.sources[fieldPath] = Source{}
			if f.def != nil {
				l.assign(f, field, fieldPath, *f.def, Source{})
			}
		}
	}
}

// shownKey is a key as it may stand in a path that is printed.
func shownKey(key string) string {
	if keyPattern.MatchString(key) && len(key) <= 60 {
		return key
	}
	return strconv.Quote(abbreviate(key))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func item(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// clone copies v as deep as n describes it.
func clone(n *node, v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch {
	case v.Kind() == reflect.Pointer:
		if !v.IsNil() {
			c.Set(reflect.New(v.Type().Elem()))
			c.Elem().Set(clone(n, v.Elem()))
		}
	case n.shape == record:
		for _, f := range n.fields {
			c.FieldByIndex(f.index).Set(clone(f, v.FieldByIndex(f.index)))
		}
	case n.shape == list && !v.IsNil():
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(clone(n.elem, v.Index(i)))
		}
	case n.shape == table && !v.IsNil():
		c.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), clone(n.elem, it.Value()))
		}
	}
	return c
}
