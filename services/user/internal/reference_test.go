package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/services/user/internal"
)

// referencePage is the page of docs/ on this service.
func referencePage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "user-service.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// firstCells are the first cells of the rows below a heading.
func firstCells(t *testing.T, page, heading string) []string {
	t.Helper()
	_, section, ok := strings.Cut(page, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %s", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var cells []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(section, -1) {
		cells = append(cells, row[1])
	}
	slices.Sort(cells)
	return cells
}

func sameNames(t *testing.T, what string, page, code []string) {
	t.Helper()
	slices.Sort(code)
	if !slices.Equal(page, code) {
		t.Errorf("docs/user-service.md has the %s\n%v; the code has\n%v", what, page, code)
	}
}

func TestReferenceNamesEveryReason(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := []string{errs.ReasonDraining}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Reason") {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				reason, _ := strconv.Unquote(value.Value)
				reasons = append(reasons, reason)
			}
		}
		return true
	})
	sameNames(t, "reasons", firstCells(t, referencePage(t), "Reasons"), reasons)
}

// describing is a registry that only notes what is registered.
type describing struct {
	prometheus.Registerer
	names []string
}

func (d *describing) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 1)
	c.Describe(descs)
	d.names = append(d.names, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch((<-descs).String())[1])
	return nil
}

func TestReferenceNamesEveryMetric(t *testing.T) {
	d := &describing{}
	if _, err := internal.NewHandler(newStore(t), internal.HandlerConfig{}, internal.WithMetrics(d)); err != nil {
		t.Fatal(err)
	}
	sameNames(t, "metrics", firstCells(t, referencePage(t), "Metrics"), d.names)
}

// settings are the rows that the page must have for a struct of settings.
func settings(typ reflect.Type, path string) (names, rows []string) {
	for field := range typ.Fields() {
		name := path + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			n, r := settings(field.Type, name+".")
			names, rows = append(names, n...), append(rows, r...)
			continue
		}
		value := ""
		if d := field.Tag.Get("default"); d != "" {
			value = " `" + d + "`"
		}
		names = append(names, name)
		rows = append(rows, fmt.Sprintf("| `%s` |%s | %s |\n", name, value, field.Tag.Get("doc")))
	}
	return names, rows
}

func TestReferenceNamesEverySetting(t *testing.T) {
	page := referencePage(t)
	var all []string
	for _, name := range []string{"Store", "Users", "Purge"} {
		field, _ := reflect.TypeFor[internal.Config]().FieldByName(name)
		names, rows := settings(field.Type, field.Tag.Get("yaml")+".")
		all = append(all, names...)
		for _, row := range rows {
			if !strings.Contains(page, row) {
				t.Errorf("docs/user-service.md lacks the row\n%s", row)
			}
		}
	}
	sameNames(t, "settings", firstCells(t, page, "Settings"), all)
}
