package keelson_test

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// archDocumented is the share of exported names that have a comment, in percent.
const archDocumented = 95

func TestArchitectureEveryPackageSaysWhatItIs(t *testing.T) {
	comment := map[string]string{}
	for _, f := range sourceFiles(t) {
		path := f.pkg.ImportPath
		if _, seen := comment[path]; !seen {
			comment[path] = ""
		}
		if text := f.ast.Doc.Text(); f.generated && len(f.pkg.GoFiles) > 0 {
			comment[path] += "generated" // by protoc-gen-go, from the .proto's own comments
		} else if !f.test || len(f.pkg.GoFiles) == 0 {
			comment[path] += text
		}
	}
	for path, text := range comment {
		if text == "" {
			t.Errorf("%s has no package comment: say in the file that carries the package's name, or in doc.go, what it is for and how it is used", path)
		}
	}
}

// exported is one name that others see.
type exported struct {
	where, name string
	documented  bool
}

// exportedNames returns what a file exports: functions, methods of exported
// types, types, constants, variables, fields and methods of interfaces.
func exportedNames(f sourceFile) []exported {
	var all []exported
	add := func(n ast.Node, name string, docs ...*ast.CommentGroup) {
		documented := false
		for _, d := range docs {
			documented = documented || strings.TrimSpace(d.Text()) != ""
		}
		all = append(all, exported{f.at(n), name, documented})
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if name, public := receiver(d); public && d.Name.IsExported() && !wellKnown[d.Name.Name] {
				add(d, name+d.Name.Name, d.Doc)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if spec.Name.IsExported() {
						add(spec, spec.Name.Name, spec.Doc, d.Doc)
						members(spec, spec.Doc.Text()+d.Doc.Text(), add)
					}
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						if n.IsExported() {
							add(n, n.Name, spec.Doc, spec.Comment, d.Doc)
						}
					}
				}
			}
		}
	}
	return all
}

// wellKnown methods do what the interface says that they implement.
var wellKnown = map[string]bool{"Error": true, "Unwrap": true, "String": true, "Is": true, "As": true}

// receiver returns the prefix of a method's name, and whether others can call
// the function.
func receiver(d *ast.FuncDecl) (prefix string, public bool) {
	if d.Recv == nil {
		return "", true
	}
	typ := d.Recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.Name + ".", x.IsExported()
		default:
			return "", false
		}
	}
}

// members adds the exported fields of a struct and the methods of an interface.
// One without a comment of its own is documented by its `doc` tag, by its type
// when that is named after it, or by its name in the comment of its type or of
// the member above, as in "CertFile and KeyFile are".
func members(spec *ast.TypeSpec, doc string, add func(ast.Node, string, ...*ast.CommentGroup)) {
	var list *ast.FieldList
	switch typ := spec.Type.(type) {
	case *ast.StructType:
		list = typ.Fields
	case *ast.InterfaceType:
		list = typ.Methods
	default:
		return
	}
	above := ""
	for _, field := range list.List {
		if field.Doc != nil {
			above = field.Doc.Text()
		}
		for _, n := range field.Names {
			if !n.IsExported() {
				continue
			}
			docs := []*ast.CommentGroup{field.Doc, field.Comment}
			if mentions(doc+above, n.Name) || docTag(field) || namedAfter(field.Type, n.Name) {
				docs = append(docs, &ast.CommentGroup{List: []*ast.Comment{{Text: "// documented elsewhere"}}})
			}
			add(n, spec.Name.Name+"."+n.Name, docs...)
		}
	}
}

func mentions(text, name string) bool {
	return regexp.MustCompile(`\b` + name + `\b`).MatchString(text)
}

func docTag(field *ast.Field) bool {
	if field.Tag == nil {
		return false
	}
	tag, err := strconv.Unquote(field.Tag.Value)
	return err == nil && reflect.StructTag(tag).Get("doc") != ""
}

func namedAfter(typ ast.Expr, name string) bool {
	id, ok := typ.(*ast.Ident)
	return ok && id.IsExported() && strings.Contains(id.Name, name)
}

func TestArchitectureExportedNamesAreDocumented(t *testing.T) {
	total, documented := 0, 0
	missing := map[string][]string{}
	count := map[string]int{}
	for _, f := range sourceFiles(t) {
		if f.test || f.generated || f.ast.Name.Name == "main" {
			continue
		}
		for _, e := range exportedNames(f) {
			total++
			count[f.pkg.rel()]++
			if e.documented {
				documented++
				continue
			}
			missing[f.pkg.rel()] = append(missing[f.pkg.rel()], fmt.Sprintf("%s: %s", e.where, e.name))
		}
	}
	t.Logf("%d of %d exported names are documented (%.1f %%)", documented, total, 100*float64(documented)/float64(total))
	if documented*100 < total*archDocumented {
		t.Errorf("only %d of %d exported names are documented, at least %d %% must be", documented, total, archDocumented)
	}
	for pkg, names := range missing {
		if isPublic(pkg) && len(names)*100 > count[pkg]*(100-archDocumented) {
			t.Errorf("%s: %d of %d exported names have no comment, at most %d %% may; say what each is, its unit, default, errors and who may call it when:\n\t%s",
				archName(pkg), len(names), count[pkg], 100-archDocumented, strings.Join(names, "\n\t"))
		}
	}
}

func TestArchitectureEveryPublicPackageHasAnExample(t *testing.T) {
	has := map[string]bool{}
	for _, f := range sourceFiles(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && strings.HasPrefix(fn.Name.Name, "Example") && f.ast.Name.Name != f.pkg.Name {
				has[f.pkg.ImportPath] = true
			}
		}
	}
	generated := map[string]bool{}
	for _, f := range sourceFiles(t) {
		generated[f.pkg.ImportPath] = generated[f.pkg.ImportPath] || f.generated
	}
	for _, p := range archPackages(t) {
		if isPublic(p.rel()) && !has[p.ImportPath] && !generated[p.ImportPath] {
			t.Errorf("%s has no Example: write one in example_test.go, in package %s_test, that a reader can copy", archName(p.rel()), p.Name)
		}
	}
}

// archNoLeaks may have tests without a leak check, each for its reason.
var archNoLeaks = map[string]string{}

func TestArchitectureTestsLookForLeaks(t *testing.T) {
	checked, tested := map[string]bool{}, map[string]bool{}
	for _, f := range sourceFiles(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			tested[f.pkg.ImportPath] = tested[f.pkg.ImportPath] || ok && f.test && strings.HasPrefix(fn.Name.Name, "Test")
		}
		inspectCalls(f.ast, func(_ *ast.CallExpr, pkg, fn string) {
			leak := pkg == "goleak" && slices.Contains([]string{"VerifyTestMain", "VerifyNone", "Find"}, fn) || pkg == "keelsontest" && fn == "Main"
			checked[f.pkg.ImportPath] = checked[f.pkg.ImportPath] || f.test && leak
		})
	}
	for _, p := range archPackages(t) {
		if tested[p.ImportPath] && !checked[p.ImportPath] && archNoLeaks[p.rel()] == "" {
			t.Errorf("the tests of %s do not look for goroutines that are left: add main_test.go with func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }", archName(p.rel()))
		}
	}
}

// archUnfinished are words that promise code instead of being it.
var archUnfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)

func TestArchitectureNothingIsLeftForLater(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if f.rel == "arch_docs_test.go" || f.generated {
			continue
		}
		for _, group := range f.ast.Comments {
			if m := archUnfinished.FindString(group.Text()); m != "" {
				t.Errorf("%s: %s: do it, or open an issue and take the note out", f.at(group), m)
			}
		}
	}
}

// archLink is a Markdown link to something in the repository.
var archLink = regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)

func TestArchitectureLinksInDocumentsLeadSomewhere(t *testing.T) {
	pages, _ := filepath.Glob("*.md")
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md", ".github/*.md"} {
		more, _ := filepath.Glob(pattern)
		pages = append(pages, more...)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range archLink.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), link[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, link[1])
			}
		}
	}
}
