package nearest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/internal/nearest"
)

func TestSortPutsTheNearestFirst(t *testing.T) {
	for name, tc := range map[string]struct {
		name       string
		give, want []string
	}{
		"typo":        {"GetUsr", []string{"ListUsers", "GetUser", "DeleteUser"}, []string{"GetUser", "DeleteUser", "ListUsers"}},
		"case":        {"getuser", []string{"SetUser", "GetUser"}, []string{"GetUser", "SetUser"}},
		"tie":         {"x", []string{"c", "b"}, []string{"b", "c"}},
		"nothing":     {"x", nil, []string{}},
		"empty names": {"", []string{"ab", "a"}, []string{"a", "ab"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, nearest.Sort(tc.name, tc.give)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestToNamesTheNearestWithinABound(t *testing.T) {
	long := strings.Repeat("a", 200)
	for name, tc := range map[string]struct {
		name   string
		within int
		known  []string
		want   string
	}{
		"typo":     {"GetUsr", 2, []string{"ListUsers", "GetUser"}, "GetUser"},
		"same":     {"a", 0, []string{"b", "a"}, "a"},
		"tie":      {"x", 1, []string{"c", "b"}, "b"},
		"swap":     {"Gte", 1, []string{"Put", "Get"}, "Get"},
		"case":     {"display_Name", 0, []string{"display_name"}, "display_name"},
		"too far":  {"GetUsr", 0, []string{"GetUser"}, ""},
		"nothing":  {"x", 9, nil, ""},
		"too long": {long, 9, []string{long}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := nearest.To(tc.name, tc.within, slices.Values(tc.known)); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}
