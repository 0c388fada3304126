package internal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// TestThePageOnThisServiceIsComplete compares docs/gateway.md with the code.
func TestThePageOnThisServiceIsComplete(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "gateway.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	var metrics []string
	for _, m := range regexp.MustCompile(`Name: "(\w+)"`).FindAllSubmatch(source, -1) {
		metrics = append(metrics, string(m[1]))
	}
	for heading, want := range map[string][]string{"Metrics": metrics, "Settings": settingsOf(reflect.TypeFor[internal.Config](), "")} {
		_, section, _ := strings.Cut(string(page), "\n## "+heading+"\n")
		section, _, _ = strings.Cut(section, "\n## ")
		var got []string
		for _, line := range strings.Split(section, "\n") {
			if strings.HasPrefix(line, "| `") {
				if heading != "Settings" { // their rows are compared whole
					line = strings.Split(line, "`")[1]
				}
				got = append(got, line)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s of docs/gateway.md (-code +page):\n%s", heading, d)
		}
	}
}

// settingsOf are the rows of a struct's settings, but for those of the chassis,
// the edge and the platform service.
func settingsOf(typ reflect.Type, path string) (rows []string) {
	for field := range typ.Fields() {
		name := path + field.Tag.Get("yaml")
		value := " "
		if d := field.Tag.Get("default"); d != "" {
			value = " `" + d + "` "
		}
		switch row := fmt.Sprintf("| `%s` |%s| %s |", name, value, field.Tag.Get("doc")); {
		case field.Anonymous, name == "edge", name == "platform":
		case field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct:
			rows = append(append(rows, row), settingsOf(field.Type.Elem(), name+"[].")...)
		case field.Type.Kind() == reflect.Struct && field.Tag.Get("doc") == "":
			rows = append(rows, settingsOf(field.Type, name+".")...)
		default:
			rows = append(rows, row)
		}
	}
	return rows
}
