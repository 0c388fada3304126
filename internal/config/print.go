package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes the values in effect as YAML, each with a comment that says where
// it came from. Secrets are ***.
func (ld *Loaded) Print(w io.Writer) error {
	ld.mu.Lock()
	p := printer{sources: ld.sources}
	p.record(ld.schema, ld.value, "", "")
	ld.mu.Unlock()
	if _, err := w.Write(p.out.Bytes()); err != nil {
		return fmt.Errorf("print configuration: %w", err)
	}
	return nil
}

type printer struct {
	sources map[string]Source
	out     bytes.Buffer
}

func (p *printer) line(indent, text, path string) {
	fmt.Fprintf(&p.out, "%s%s # %s\n", indent, text, strings.ReplaceAll(sourceOf(p.sources, path).String(), "\n", " "))
}

func (p *printer) record(n *node, v reflect.Value, path, indent string) {
	for _, f := range n.fields {
		p.value(f, v.FieldByIndex(f.index), f.key, join(path, f.key), indent)
	}
}

// value writes "key: value" and what is below it.
func (p *printer) value(n *node, v reflect.Value, key, path, indent string) {
	key = inline(key)
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			p.line(indent, key+": null", path)
			return
		}
		v = v.Elem()
	}
	switch {
	case n.shape == scalar:
		p.line(indent, key+": "+shown(n, v), path)
	case n.shape == record:
		fmt.Fprintf(&p.out, "%s%s:\n", indent, key)
		p.record(n, v, path, indent+"  ")
	case n.shape == list && v.Len() == 0:
		p.line(indent, key+": []", path)
	case n.shape == table && v.Len() == 0:
		p.line(indent, key+": {}", path)
	case n.shape == list:
		p.line(indent, key+":", path)
		p.items(n, v, path, indent+"  ")
	default:
		fmt.Fprintf(&p.out, "%s%s:\n", indent, key)
		for _, k := range sortedKeys(v) {
			p.value(n.elem, entryOf(v, k), k, join(path, k), indent+"  ")
		}
	}
}

// items writes a list, one dash for each item.
func (p *printer) items(n *node, v reflect.Value, path, indent string) {
	for i := range v.Len() {
		elem, itemPath := v.Index(i), item(path, i)
		if elem.Kind() == reflect.Pointer {
			if elem.IsNil() {
				continue
			}
			elem = elem.Elem()
		}
		if n.elem.shape == scalar {
			p.line(indent, "- "+shown(n.elem, elem), itemPath)
			continue
		}
		nested := printer{sources: p.sources}
		nested.item(n.elem, elem, itemPath, indent+"  ")
		text := nested.out.Bytes()
		if len(text) > len(indent)+2 {
			text[len(indent)] = '-' // the first line's indentation becomes the dash
		}
		p.out.Write(text)
	}
}

func (p *printer) item(n *node, v reflect.Value, path, indent string) {
	switch n.shape {
	case record:
		p.record(n, v, path, indent)
	case list:
		p.items(n, v, path, indent)
	default:
		for _, k := range sortedKeys(v) {
			p.value(n.elem, entryOf(v, k), k, join(path, k), indent)
		}
	}
}

// shown is a value as YAML on one line.
func shown(n *node, v reflect.Value) string {
	text := scalarText(v)
	if n.secret && !v.IsZero() {
		text = hidden
	}
	if bare := v.Kind() == reflect.Bool || ordered(v); bare && n.typ.PkgPath() == "" || n.typ == durationType {
		return text
	}
	return inline(text)
}

// inline writes text as a YAML scalar on one line, quoted where it has to be.
func inline(text string) string {
	node := yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\u0085' || r == '\u2028' || r == '\u2029' }) || len(text) > 60 {
		node.Style = yaml.DoubleQuotedStyle
	}
	out, err := yaml.Marshal(&node)
	if line := strings.TrimSuffix(string(out), "\n"); err == nil && !strings.Contains(line, "\n") {
		return line
	}
	return fmt.Sprintf("%q", text)
}
