package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggestKey says what an unknown key of n, which is at path, may have meant.
func (l *loader) suggestKey(n *node, path, key string) string {
	keys := make([]string, len(n.fields))
	for i, f := range n.fields {
		keys[i] = f.key
	}
	if near := nearest(key, keys); near != "" {
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
	if near := nearest(name, names); near != "" {
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

// nearest finds the candidate with the fewest edits to name, if they are few for
// its length.
func nearest(name string, candidates []string) string {
	name = strings.ToLower(name)
	best, least := "", max(2, len(name)/3)+1
	if len(name) <= 3 {
		least = 2
	}
	for _, c := range candidates {
		if d := distance(name, strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours between a and b (optimal string alignment).
func distance(a, b string) int {
	before, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev, cur = prev, cur, before
	}
	return prev[len(b)]
}
