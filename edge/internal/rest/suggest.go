package rest

import (
	"fmt"
	"slices"

	"github.com/keelson-dev/keelson/internal/nearest"
)

// suggest returns "; did you mean ...?" for the known name that is closest to a
// misspelt one, and "" when none is close.
func suggest(name string, known []string) string {
	near := nearest.To(name, 1+len(name)/4, slices.Values(known))
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near)
}
