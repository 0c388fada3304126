package keelson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// modulePath is the path of this module.
const modulePath = "github.com/keelson-dev/keelson"

// archPackage is what the go command tells of one package.
type archPackage struct {
	ImportPath   string
	Dir          string
	Name         string
	GoFiles      []string
	CgoFiles     []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// rel is the package's path under the module; "" is the root.
func (p archPackage) rel() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, modulePath), "/")
}

// tests are the names of the package's test files.
func (p archPackage) tests() []string {
	return append(append([]string(nil), p.TestGoFiles...), p.XTestGoFiles...)
}

// loadPackages lists the packages of the module, generated ones included;
// nested modules are no part of it.
var loadPackages = sync.OnceValues(func() ([]archPackage, error) {
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Name,GoFiles,CgoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		return nil, err
	}
	var all []archPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p archPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
})

func archPackages(t *testing.T) []archPackage {
	t.Helper()
	all, err := loadPackages()
	if err != nil {
		t.Fatalf("list the module's packages: %v", err)
	}
	return all
}

// sourceFile is a parsed file of the module.
type sourceFile struct {
	pkg       archPackage
	rel       string // path under the module
	test      bool
	generated bool
	lines     int
	fset      *token.FileSet
	ast       *ast.File
}

// at says where a node is, as file:line.
func (f sourceFile) at(n ast.Node) string {
	p := f.fset.Position(n.Pos())
	return f.rel + ":" + strconv.Itoa(p.Line)
}

// parsePackages parses every Go file of the module.
var parsePackages = sync.OnceValues(func() ([]sourceFile, error) {
	all, err := loadPackages()
	if err != nil {
		return nil, err
	}
	var files []sourceFile
	for _, p := range all {
		names := append(append([]string(nil), p.GoFiles...), p.CgoFiles...)
		code := len(names)
		for i, name := range append(names, p.tests()...) {
			fset := token.NewFileSet()
			parsed, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				return nil, err
			}
			files = append(files, sourceFile{
				pkg: p, rel: strings.TrimPrefix(p.rel()+"/"+name, "/"), test: i >= code,
				generated: ast.IsGenerated(parsed), lines: fset.File(parsed.Pos()).LineCount(), fset: fset, ast: parsed,
			})
		}
	}
	return files, nil
})

func sourceFiles(t *testing.T) []sourceFile {
	t.Helper()
	files, err := parsePackages()
	if err != nil {
		t.Fatalf("parse the module: %v", err)
	}
	return files
}

// within says whether path is dir or below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}
