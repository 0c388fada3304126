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
	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/audit/internal"
)

// TestThePageOnThisServiceIsComplete compares docs/audit-service.md with the code.
func TestThePageOnThisServiceIsComplete(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "audit-service.md"))
	if err != nil {
		t.Fatal(err)
	}
	for heading, want := range map[string][]string{"Reasons": reasons(t), "Metrics": metrics(t), "Settings": settings(reflect.TypeFor[internal.Config](), "")} {
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
			t.Errorf("%s of docs/audit-service.md (-code +page):\n%s", heading, d)
		}
	}
}

func reasons(t *testing.T) []string {
	t.Helper()
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{errs.ReasonDraining}
	for _, m := range regexp.MustCompile(`(?m)^\tReason\w+ += "(\w+)"$`).FindAllSubmatch(source, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// naming is a registry that only notes names.
type naming struct {
	prometheus.Registerer
	names []string
}

func (n *naming) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 1)
	c.Describe(descs)
	n.names = append(n.names, strings.Split((<-descs).String(), `"`)[1])
	return nil
}

func metrics(t *testing.T) []string {
	t.Helper()
	n := &naming{}
	if err := internal.RegisterMetrics(n); err != nil {
		t.Fatal(err)
	}
	return n.names
}

// settings are the rows of a struct's settings, but for the chassis's own.
func settings(typ reflect.Type, path string) (rows []string) {
	for field := range typ.Fields() {
		name := path + field.Tag.Get("yaml")
		switch {
		case field.Anonymous:
		case field.Type.Kind() == reflect.Struct:
			rows = append(rows, settings(field.Type, name+".")...)
		default:
			value := " "
			if d := field.Tag.Get("default"); d != "" {
				value = " `" + d + "` "
			}
			rows = append(rows, fmt.Sprintf("| `%s` |%s| %s |", name, value, field.Tag.Get("doc")))
		}
	}
	return rows
}
