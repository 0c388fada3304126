package policy

import "fmt"

// nearest names the known method that a misspelt one is closest to.
func nearest(name string, methods map[string]*Method) string {
	best, distance := "", 1+len(name)/2
	for known := range methods {
		d := editDistance(name, known)
		if d < distance || d == distance && known < best {
			best, distance = known, d
		}
	}
	if best == "" {
		return "; a method is written /package.Service/Method"
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
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
