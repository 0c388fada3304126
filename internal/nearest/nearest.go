// Package nearest finds the names that are close to what somebody typed. Comparisons
// ignore case.
package nearest

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Sort returns the candidates, the closest to name first; ties stay in
// alphabetical order.
func Sort(name string, candidates []string) []string {
	type scored struct {
		name string
		far  int
	}
	name = strings.ToLower(name)
	list := make([]scored, 0, len(candidates))
	for _, c := range candidates {
		list = append(list, scored{c, distance(name, strings.ToLower(c))})
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name))
	})
	sorted := make([]string, len(list))
	for i, s := range list {
		sorted[i] = s.name
	}
	return sorted
}

// longest is how many bytes a name may have to be compared by [To]: those that
// strangers send have no bound.
const longest = 128

// To returns the known name that is closest to one, the first in alphabetical order
// of several, or "" when none is within so many edits.
func To(name string, within int, known iter.Seq[string]) string {
	best, least := "", within+1
	if len(name) > longest {
		return ""
	}
	name = strings.ToLower(name)
	for k := range known {
		if d := distance(name, strings.ToLower(k)); d < least || d == least && k < best {
			best, least = k, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of neighbours
// between two names, by bytes (optimal string alignment).
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
