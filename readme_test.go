package keelson_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readmeCode is a block of Go in a document that says which file it is from.
var readmeCode = regexp.MustCompile("(?s)<!-- source: (\\S+) -->\n```go\n(.*?)```")

func TestReadmeShowsTheCodeOfTheExample(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := readmeCode.FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("README.md has no block of Go below a line <!-- source: FILE -->")
	}
	for _, block := range blocks {
		source, err := os.ReadFile(block[1])
		if err != nil {
			t.Fatal(err)
		}
		want := topLevel(t, block[1], source)
		if example, ok := want["Example"]; ok {
			want["main"] = example // a main that is compiled and shown as one
			delete(want, "Example")
		}
		if diff := cmp.Diff(want, topLevel(t, "README.md", []byte(block[2]))); diff != "" {
			t.Errorf("README.md does not show what %s has (-example +readme):\n%s", block[1], diff)
		}
	}
}

// topLevel returns the source of each declaration of a file by name, of functions
// the part from the parameters on, and its imports.
func topLevel(t *testing.T, name string, src []byte) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	decls := map[string]string{}
	for i, d := range file.Decls {
		key, node := strconv.Itoa(i), any(d)
		switch d := d.(type) {
		case *ast.FuncDecl:
			if key = d.Name.Name; d.Recv == nil {
				node = d.Body
			}
		case *ast.GenDecl:
			if spec, ok := d.Specs[0].(*ast.TypeSpec); ok {
				key = spec.Name.Name
			}
		}
		var out bytes.Buffer
		if err := printer.Fprint(&out, fset, node); err != nil {
			t.Fatal(err)
		}
		decls[key] = out.String()
	}
	return decls
}
