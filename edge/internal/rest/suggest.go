package rest

import "fmt"

// suggest returns "; did you mean ...?" for the known name that is closest to a
// misspelt one, and "" when none is close.
func suggest(name string, known []string) string {
	const longest = 128 // of names worth a comparison
	if len(name) > longest {
		return ""
	}
	best, distance := "", 2+len(name)/4
	for _, k := range known {
		if d := editDistance(name, k); d < distance || d == distance && k < best {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
