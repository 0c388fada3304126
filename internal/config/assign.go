package config

import (
	"reflect"
	"slices"
	"strings"
)

// assign sets v from the text of a default tag, a variable or a flag. Lists,
// maps and structs are written as YAML; a list of plain values also with commas.
func (l *loader) assign(n *node, v reflect.Value, path, text string, src Source) {
	if n.shape == scalar {
		l.scalar(n, allocate(v), text, path, src)
		return
	}
	trimmed := strings.TrimSpace(text)
	if n.shape == list && n.elem.shape == scalar && !strings.HasPrefix(trimmed, "[") && !strings.HasPrefix(trimmed, "- ") {
		l.commas(n, allocate(v), trimmed, path, src)
		return
	}
	doc, problem := parse([]byte(text))
	if problem != nil {
		l.fault(src, path, "want "+n.what()+", as YAML", "%s", problem.Problem)
		return
	}
	if doc == nil {
		l.fault(src, path, "want "+n.what()+", as YAML", "the value is empty")
		return
	}
	l.nodes = 0
	l.decode(n, v, doc, path, src)
}

// commas sets a list of plain values from "a,b,c"; empty text is an empty list.
func (l *loader) commas(n *node, v reflect.Value, text, path string, src Source) {
	var parts []string
	if text != "" {
		parts = strings.Split(text, ",")
	}
	items := reflect.MakeSlice(v.Type(), len(parts), len(parts))
	l.replace(path, src)
	for i, p := range parts {
		l.scalar(n.elem, allocate(items.Index(i)), strings.TrimSpace(p), item(path, i), src)
	}
	v.Set(items)
}

// naming is how the parts of a dotted path, or of a variable's name, stand for
// keys.
type naming struct {
	same  func(key, name string) bool
	entry func(table reflect.Value, rest []string) string // the key of a map's entry
}

// place is where a dotted path or a variable's name leads to.
type place struct {
	node *node  // the last node found
	path string // its path
	rest []string
	set  func(text string, src Source) // nil: it leads nowhere
}

// find walks from the root along parts. Structs behind nil pointers are made
// only when the value is set.
func (l *loader) find(parts []string, by naming) place {
	p := place{node: l.schema, rest: parts}
	var steps []*node
	for len(p.rest) > 0 && p.node.shape == record {
		child := p.node.child(p.rest[0], by.same)
		if child == nil {
			return p
		}
		p.node, p.path, p.rest = child, join(p.path, child.key), p.rest[1:]
		steps = append(steps, child)
	}
	reach := func() reflect.Value {
		v, n, path := l.root, l.schema, ""
		for _, s := range steps {
			v = l.reach(n, v, path).FieldByIndex(s.index)
			n, path = s, join(path, s.key)
		}
		return v
	}
	switch {
	case len(p.rest) == 0:
		p.set = func(text string, src Source) { l.assign(p.node, reach(), p.path, text, src) }
	case p.node.shape == table:
		p.set = func(text string, src Source) {
			v := allocate(reach())
			l.entry(p.node, v, by.entry(v, p.rest), func(elem reflect.Value, path string) {
				l.assign(p.node.elem, elem, path, text, src)
			}, p.path)
		}
	}
	return p
}

// sortedKeys lists the keys of a map.
func sortedKeys(table reflect.Value) []string {
	keys := make([]string, 0, table.Len())
	for it := table.MapRange(); it.Next(); {
		keys = append(keys, it.Key().String())
	}
	slices.Sort(keys)
	return keys
}

// entryOf gives the entry of a map at key.
func entryOf(table reflect.Value, key string) reflect.Value {
	return table.MapIndex(reflect.ValueOf(key).Convert(table.Type().Key()))
}
