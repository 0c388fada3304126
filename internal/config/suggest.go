package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keelson-dev/keelson/internal/nearest"
)

// suggestKey says what an unknown key of n, which is at path, may have meant.
func (l *loader) suggestKey(n *node, path, key string) string {
	keys := make([]string, len(n.fields))
	for i, f := range n.fields {
		keys[i] = f.key
	}
	if near := meant(key, keys); near != "" {
		return fmt.Sprintf("did you mean %s?", join(path, near))
	}
	for p, m := range l.schema.all("") {
		if m.key == key {
			return fmt.Sprintf("did you mean %s?", p)
		}
	}
	slices.Sort(keys)
	return "known keys here: " + strings.Join(keys, ", ")
}

// suggestVariable says what an unknown variable may have meant.
func suggestVariable(schema *node, name string, opts Options) string {
	names := slices.Clone(opts.Reserved)
	for path := range schema.all("") {
		if !strings.ContainsAny(path, "[<") {
			names = append(names, variableName(opts.prefix(), path))
		}
	}
	if near := meant(name, names); near != "" {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "every variable that begins with " + opts.prefix() + " has to be a setting; --print-config shows them"
}

// all gives every node below n with its path; items of a list are "path[]".
func (n *node) all(path string) func(yield func(string, *node) bool) {
	return func(yield func(string, *node) bool) { n.visit(path, yield) }
}

func (n *node) visit(path string, yield func(string, *node) bool) bool {
	for _, f := range n.fields {
		if p := join(path, f.key); !yield(p, f) || !f.visit(p, yield) {
			return false
		}
	}
	switch {
	case n.elem == nil || n.elem.shape == scalar:
		return true
	case n.shape == table:
		return n.elem.visit(path+".<key>", yield)
	}
	return n.elem.visit(path+"[]", yield)
}

// meant finds the name with the fewest edits, if they are few for its length.
func meant(name string, known []string) string {
	within := max(2, len(name)/3)
	if len(name) <= 3 {
		within = 1
	}
	return nearest.To(name, within, slices.Values(known))
}
