package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is an OpenAPI document as validators that are not ours read it.
type document struct {
	spec   *openapi3.T
	open   *jsonschema.Compiler // the schemas as they are
	closed *jsonschema.Compiler // without any field that the document does not name
}

// operation is one of its operations.
type operation struct {
	id, verb, path string
	route          *routers.Route
}

// documentAt reads and checks the document of a server.
func documentAt(t *testing.T, base string) *document {
	t.Helper()
	raw := fetch(t, base+"/openapi.json")
	checkMetaSchema(t, raw)
	spec, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatalf("kin-openapi does not read the document: %v", err)
	}
	if err := spec.Validate(t.Context()); err != nil {
		t.Fatalf("kin-openapi: %v", err)
	}
	return &document{spec: spec, open: compiler(t, raw, false), closed: compiler(t, raw, true)}
}

func fetch(t *testing.T, address string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, answer.Status, err)
	}
	return raw
}

// checkMetaSchema validates the document by the OpenAPI Initiative's own schema.
func checkMetaSchema(t *testing.T, raw []byte) {
	t.Helper()
	official, err := os.ReadFile(filepath.Join("testdata", "oas-3.1-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	const address = "https://spec.openapis.org/oas/3.1/schema/2022-10-07"
	if err := c.AddResource(address, decode(t, official)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(address)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(decode(t, raw)); err != nil {
		t.Fatalf("the document is no OpenAPI 3.1: %v", err)
	}
}

func decode(t *testing.T, raw []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %.200s", err, raw)
	}
	return value
}

const resource = "openapi.json"

// compiler knows the schemas of a document. closed forbids what answers must not
// have but clients must bear: fields that are not documented.
func compiler(t *testing.T, raw []byte, closed bool) *jsonschema.Compiler {
	t.Helper()
	doc := decode(t, raw)
	if closed {
		schemas := doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
		for name, schema := range schemas {
			// Details have @type beside their fields.
			if object := schema.(map[string]any); object["properties"] != nil && !strings.HasPrefix(name, "google.") {
				object["additionalProperties"] = false
			}
		}
		schemas["google.rpc.Status"].(map[string]any)["additionalProperties"] = false
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(resource, doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// operations returns those of the document by their IDs.
func (d *document) operations() map[string]*operation {
	all := map[string]*operation{}
	for path, item := range d.spec.Paths.Map() {
		for verb, o := range item.Operations() {
			all[o.OperationID] = &operation{o.OperationID, verb, path, &routers.Route{Spec: d.spec, Path: path, PathItem: item, Method: verb, Operation: o}}
		}
	}
	return all
}

// takesLines says whether an upload is sent.
func (o *operation) takesLines() bool {
	body := o.route.Operation.RequestBody
	return body != nil && body.Value.Content["application/x-ndjson"] != nil
}

// statuses returns the HTTP statuses that an operation documents.
func (o *operation) statuses() []string {
	var all []string
	for status := range o.route.Operation.Responses.Map() {
		all = append(all, status)
	}
	return all
}

// answerSchema returns what the document says of a body: key is schema, or one of
// the extensions for streams.
func (d *document) answerSchema(c *jsonschema.Compiler, o *operation, status int, media string, key ...string) (*jsonschema.Schema, error) {
	response := o.route.Operation.Responses.Status(status)
	at := []string{"paths", o.path, strings.ToLower(o.verb), "responses", fmt.Sprint(status)}
	if response == nil {
		return nil, fmt.Errorf("%s does not document %d", o.id, status)
	}
	if response.Ref != "" {
		at = strings.Split(strings.TrimPrefix(response.Ref, "#/"), "/")
	}
	at = append(append(at, "content", media), key...)
	for i, step := range at {
		at[i] = url.PathEscape(strings.ReplaceAll(strings.ReplaceAll(step, "~", "~0"), "/", "~1"))
	}
	return c.Compile(resource + "#/" + strings.Join(at, "/"))
}

// check validates a value by both the schemas as they are and without fields that
// are not documented.
func (d *document) check(o *operation, status int, media string, value any, key ...string) error {
	for _, c := range []*jsonschema.Compiler{d.open, d.closed} {
		schema, err := d.answerSchema(c, o, status, media, key...)
		if err != nil {
			return err
		}
		if err := schema.Validate(value); err != nil {
			return fmt.Errorf("by jsonschema: %w", err)
		}
	}
	return nil
}

var wildcards = regexp.MustCompile(`\\\{([^{}]+)\\\}`)

// validateRequest validates a request that was answered well.
func (d *document) validateRequest(ctx context.Context, o *operation, r *http.Request) (*openapi3filter.RequestValidationInput, error) {
	pattern := regexp.MustCompile("^" + wildcards.ReplaceAllString(regexp.QuoteMeta(o.path), `([^/]+)`) + "$")
	found := pattern.FindStringSubmatch(r.URL.Path)
	if found == nil {
		return nil, fmt.Errorf("%s is not the path of %s, %s", r.URL.Path, o.id, o.path)
	}
	input := &openapi3filter.RequestValidationInput{Request: r, Route: o.route, PathParams: map[string]string{}, QueryParams: r.URL.Query()}
	for i, name := range regexp.MustCompile(`\{([^{}]+)\}`).FindAllStringSubmatch(o.path, -1) {
		input.PathParams[name[1]] = found[i+1]
	}
	if ctx == nil {
		return input, nil
	}
	return input, openapi3filter.ValidateRequest(ctx, input)
}

// validateAnswer validates an answer by kin-openapi: header, media type and, when it
// is JSON, its body.
func (d *document) validateAnswer(ctx context.Context, input *openapi3filter.RequestValidationInput, answer *http.Response, body []byte) error {
	return openapi3filter.ValidateResponse(ctx, (&openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.StatusCode, Header: answer.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: !strings.HasSuffix(answer.Header.Get("Content-Type"), "json") || strings.Contains(answer.Header.Get("Content-Type"), "ndjson")},
	}).SetBodyBytes(body))
}

// fieldOf returns a text in a JSON body.
func fieldOf(body []byte, name string) string {
	var fields map[string]any
	_ = json.Unmarshal(body, &fields)
	text, _ := fields[name].(string)
	return text
}
