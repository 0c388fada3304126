package nearest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/nearest"
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
