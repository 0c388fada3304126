package errs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/errs"
)

// row is a reason's line of the table in docs/errors.md.
func row(r errs.ReasonDoc) string {
	return fmt.Sprintf("| `%s` | `%s` | %s | %s |", r.Reason, errs.CodeName(r.Code), r.Meaning, r.Action)
}

func TestTheReferenceHasEveryReason(t *testing.T) {
	doc, err := os.ReadFile("../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, r := range errs.Reasons() {
		want = append(want, row(r))
		if !errs.ValidReason(r.Reason) {
			t.Errorf("%s is not a valid reason", r.Reason)
		}
	}
	if table := strings.Join(want, "\n"); !strings.Contains(string(doc), table) {
		t.Errorf("docs/errors.md is out of date; its table of reasons must be\n%s", table)
	}
	for _, key := range []string{errs.MetaResumeToken, errs.MetaTruncated} {
		if !strings.Contains(string(doc), "`"+key+"`") {
			t.Errorf("docs/errors.md does not name the metadata key %s", key)
		}
	}
}

func TestEveryReasonConstantIsListedOnce(t *testing.T) {
	listed := map[string]int{}
	for _, r := range errs.Reasons() {
		listed[r.Reason]++
	}
	file, err := parser.ParseFile(token.NewFileSet(), "reasons.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	constants := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		constants++
		if listed[value] != 1 {
			t.Errorf("%s is listed %d times by Reasons", value, listed[value])
		}
		return true
	})
	if constants != len(listed) {
		t.Errorf("%d constants, %d listed", constants, len(listed))
	}
}
