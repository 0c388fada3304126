package openapi_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// requireTools makes a tool that is missing a failure.
const requireTools = "KEELSONTEST_REQUIRE_SERVERS"

// exampleOf returns the page's example of a named schema.
func exampleOf(t *testing.T, doc map[string]any, name string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv(requireTools) == "1" {
			t.Fatalf("node: %v", err)
		}
		t.Skip("the page's examples are not tested: there is no node")
	}
	script, err := os.ReadFile("page/schema.js")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "-")
	cmd.Stdin = strings.NewReader(string(script) + `
		const doc = ` + jsonOf(t, doc) + `;
		console.log(JSON.stringify(example(doc, { $ref: "#/components/schemas/` + name + `" })));`)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestExamplesLeaveOutWhatTheyAreIn(t *testing.T) {
	doc := describe(t, file(t, `enum_type { name: "E" value { name: "E_UNSPECIFIED" number: 0 } value { name: "E_ONE" number: 1 } }
		message_type { name: "M"
			field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
			field { name: "self" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".x.M" }
			field { name: "selves" number: 3 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".x.M" }
			field { name: "other" number: 4 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".x.N" }
			field { name: "e" number: 5 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".x.E" } }
		message_type { name: "N" field { name: "back" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".x.M" }
			field { name: "size" number: 2 label: LABEL_OPTIONAL type: TYPE_INT64 } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { post: "/v1/a" body: "*" } } } }`))
	if got, want := exampleOf(t, doc, "x.M"), `{"e":"E_ONE","name":"","other":{"size":"0"},"selves":[]}`; got != want {
		t.Errorf("the example is %s, want %s", got, want)
	}
}
