// Package nearest finds the names that are close to what somebody typed.
package nearest

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Sort returns the candidates, the closest to name first; ties stay in
// alphabetical order. The comparison ignores case.
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
// of several, or "" when none is within so many changes of a byte.
func To(name string, within int, known iter.Seq[string]) string {
	best, least := "", within+1
	if len(name) > longest {
		return ""
	}
	for k := range known {
		if d := distance(name, k); d < least || d == least && k < best {
			best, least = k, d
		}
	}
	return best
}

// distance is that of Levenshtein, on bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			step := diagonal
			if a[i] != b[j] {
				step++
			}
			row[j+1] = min(above+1, row[j]+1, step)
			diagonal = above
		}
	}
	return row[len(b)]
}
