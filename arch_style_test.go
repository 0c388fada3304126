package keelson_test

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Limits of CONTRIBUTING.md.
const (
	archFileLines     = 400 // of a source file
	archTestFileLines = 600 // of a test file: tables are long, concepts are not
	archFuncLines     = 80
	archFuncP90       = 30
	archMainLines     = 40
)

// archLongFiles may be longer than archFileLines, each for its reason.
var archLongFiles = map[string]string{}

// archInits may have an init function, each for its reason.
var archInits = map[string]string{
	"balancer/policy.go": "gRPC finds a balancer by its registered name only",
}

// archPanics may panic, each for its reason.
var archPanics = map[string]string{
	"edge/serve.go":       "net/http breaks a connection when a handler panics with its ErrAbortHandler, and in no other way",
	"edge/codec.go":       "vanguard answers an error of a codec in words of its own; what it is to say goes around it, and is caught where it is called",
	"edge/compression.go": "as edge/codec.go, for what does not decompress",
}

// archExperimental are gRPC's packages that promise nothing but are the only way
// to be a resolver or a balancer, and who may use them besides internal/grpcx.
var archExperimental = map[string][]string{
	"google.golang.org/grpc/resolver":      {"", "discovery", "balancer", "target", "keelsontest", "cmd/keelson"},
	"google.golang.org/grpc/balancer":      {"balancer"},
	"google.golang.org/grpc/attributes":    {"target", "discovery", "balancer"},
	"google.golang.org/grpc/serviceconfig": {"discovery", "balancer"},
	// The parts that our balancing policy is made of, and those that it wraps.
	"google.golang.org/grpc/balancer/base":               {"balancer"},
	"google.golang.org/grpc/balancer/endpointsharding":   {"balancer"},
	"google.golang.org/grpc/balancer/leastrequest":       {"balancer"},
	"google.golang.org/grpc/balancer/ringhash":           {"balancer"},
	"google.golang.org/grpc/balancer/weightedroundrobin": {"balancer"},
	// Its one function and one struct have not changed since 2019, and the
	// stable ConnectParams has it as a field.
	"google.golang.org/grpc/backoff": {""},
}

// archExperimentalNames are the marked names of gRPC's root package that other
// folders may use, each for its reason.
var archExperimentalNames = map[string][]string{
	// Two attempts of one call must not both write what its options point at, and
	// the types of the options are the only way to see where that is.
	"hedge": {"HeaderCallOption", "TrailerCallOption", "PeerCallOption", "OnFinishCallOption"},
}

func TestArchitectureFilesAndFunctionsFitInAHead(t *testing.T) {
	var lengths []int
	for _, f := range sourceFiles(t) {
		if f.generated {
			continue
		}
		limit := archFileLines
		if f.test {
			limit = archTestFileLines
		}
		if _, excused := archLongFiles[f.rel]; f.lines > limit && !excused {
			t.Errorf("%s has %d lines, the limit is %d: a file is one concept; give the second one a file of its own", f.rel, f.lines, limit)
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			n := f.fset.Position(fn.End()).Line - f.fset.Position(fn.Pos()).Line + 1
			if n > archFuncLines {
				t.Errorf("%s: %s has %d lines, the limit is %d: name its steps", f.at(fn), fn.Name.Name, n, archFuncLines)
			}
			if !f.test {
				lengths = append(lengths, n)
			}
		}
	}
	slices.Sort(lengths)
	p := func(q int) int { return lengths[len(lengths)*q/100] }
	t.Logf("%d functions: p50 %d, p90 %d, p99 %d, longest %d lines", len(lengths), p(50), p(90), p(99), lengths[len(lengths)-1])
	if p(90) > archFuncP90 {
		t.Errorf("one function in ten is longer than %d lines, the limit is %d", p(90), archFuncP90)
	}
}

func TestArchitectureMainsAreThin(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if f.ast.Name.Name != "main" || f.test || f.generated {
			continue
		}
		if f.lines > archMainLines {
			t.Errorf("%s has %d lines, a main has %d at most: move what it does to where it can be tested", f.rel, f.lines, archMainLines)
		}
		exits := 0
		inspectCalls(f.ast, func(call *ast.CallExpr, pkg, fn string) {
			if pkg == "os" && fn == "Exit" || pkg == "log" && strings.HasPrefix(fn, "Fatal") {
				exits++
			}
		})
		if exits > 1 {
			t.Errorf("%s exits in %d places, a main exits once: return an error to main and decide there", f.rel, exits)
		}
	}
}

// inspectCalls calls visit for every call of a function of a package, with the
// names as they are written, and of a builtin, with an empty package.
func inspectCalls(root ast.Node, visit func(call *ast.CallExpr, pkg, fn string)) {
	ast.Inspect(root, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			visit(call, "", fun.Name)
		case *ast.SelectorExpr:
			if x, ok := fun.X.(*ast.Ident); ok {
				visit(call, x.Name, fun.Sel.Name)
			}
		}
		return true
	})
}

func TestArchitectureNoInitAndNoPanic(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if f.generated || f.test || placeOf(f.pkg.rel()).kind == kindTest {
			continue
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && archInits[f.rel] == "" {
				t.Errorf("%s: init runs in every program that links the package, in an order nobody wrote; do it in a constructor, or give the file a reason in archInits", f.at(fn))
			}
		}
		inspectCalls(f.ast, func(call *ast.CallExpr, pkg, fn string) {
			if pkg == "" && fn == "panic" && archPanics[f.rel] == "" {
				t.Errorf("%s: panic: return an error that says what is wrong, where and what to do", f.at(call))
			}
		})
	}
}

func TestArchitectureTestsDoNotSleep(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if !f.test && placeOf(f.pkg.rel()).kind != kindTest {
			continue
		}
		for _, d := range f.ast.Decls {
			bubble := false
			inspectCalls(d, func(_ *ast.CallExpr, pkg, fn string) { bubble = bubble || pkg == "synctest" && fn == "Test" })
			inspectCalls(d, func(call *ast.CallExpr, pkg, fn string) {
				if pkg == "time" && fn == "Sleep" && !bubble {
					t.Errorf("%s: a test that sleeps is slow on a fast machine and wrong on a slow one; wait for the condition, or run in a bubble of testing/synctest", f.at(call))
				}
			})
		}
	}
}

// archExperimentalDoc is how grpc-go marks what may change in any release.
var archExperimentalDoc = regexp.MustCompile(`(?i)# Experimental|(All|This) APIs? (in this package )?(are|is) experimental`)

// experimentalOf returns the names of gRPC's root package that are marked as
// experimental, with the methods of types left out.
func experimentalOf(t *testing.T, pkg string) (names map[string]bool, whole bool) {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		t.Fatalf("find %s: %v", pkg, err)
	}
	parsed, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	names = map[string]bool{}
	for _, path := range parsed {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		whole = whole || archExperimentalDoc.MatchString(file.Doc.Text())
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = names[d.Name.Name] || d.Recv == nil && archExperimentalDoc.MatchString(d.Doc.Text())
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if spec, ok := spec.(*ast.TypeSpec); ok {
						names[spec.Name.Name] = archExperimentalDoc.MatchString(cmp.Or(spec.Doc.Text(), d.Doc.Text()))
					}
				}
			}
		}
	}
	return names, whole
}

func TestArchitectureOnlyGrpcxTouchesWhatGRPCMayChange(t *testing.T) {
	names, _ := experimentalOf(t, "google.golang.org/grpc")
	if !names["NumStreamWorkers"] || names["NewServer"] {
		t.Fatal("the marks of grpc-go are not read as they are written any more; look at archExperimentalDoc")
	}
	wholes := map[string]bool{}
	for _, f := range sourceFiles(t) {
		if f.generated || f.test || within(f.pkg.rel(), "internal/grpcx") {
			continue
		}
		grpc := ""
		for _, spec := range f.ast.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if !within(path, "google.golang.org/grpc") {
				continue
			}
			if path == "google.golang.org/grpc" {
				grpc = "grpc"
				if spec.Name != nil {
					grpc = spec.Name.Name
				}
				continue
			}
			if _, known := wholes[path]; !known {
				_, wholes[path] = experimentalOf(t, path)
			}
			if wholes[path] && !mayUse(f.pkg.rel(), archExperimental[path]) {
				t.Errorf("%s imports %s, which promises nothing: wrap what is needed in internal/grpcx, so that an upgrade breaks one place", f.at(spec), path)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && grpc != "" && names[sel.Sel.Name] && !slices.Contains(archExperimentalNames[f.pkg.rel()], sel.Sel.Name) {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == grpc {
					t.Errorf("%s: grpc.%s is experimental: wrap it in internal/grpcx, so that an upgrade breaks one place", f.at(sel), sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func mayUse(rel string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return folder == rel || folder != "" && within(rel, folder)
	})
}
