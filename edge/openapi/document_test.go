package openapi_test

import (
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/edge/openapi"
)

// things is a service of one resource, with a method for each form of REST.
const things = `
message_type { name: "Thing"
  field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "name" }
  field { name: "etag" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "etag" }
  field { name: "size_bytes" number: 3 type: TYPE_INT64 label: LABEL_OPTIONAL json_name: "sizeBytes"
    options { [google.api.field_behavior]: REQUIRED } }
  options { [google.api.resource] { type: "x/Thing" pattern: "shelves/{shelf}/things/{item}" } } }
message_type { name: "Get" field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL
  options { [google.api.resource_reference] { type: "x/Thing" } } } }
message_type { name: "Change"
  field { name: "thing" number: 1 type: TYPE_MESSAGE type_name: ".x.Thing" label: LABEL_OPTIONAL options { [google.api.field_behavior]: REQUIRED } }
  field { name: "update_mask" number: 2 type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask" label: LABEL_OPTIONAL json_name: "updateMask" }
  field { name: "validate_only" number: 3 type: TYPE_BOOL label: LABEL_OPTIONAL json_name: "validateOnly" } }
message_type { name: "Watch" field { name: "since" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } }
message_type { name: "Event" field { name: "at" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL json_name: "at" } }
service { name: "Things"
  method { name: "GetThing" input_type: ".x.Get" output_type: ".x.Thing" options { [google.api.http] {
    get: "/v1/{name=shelves/*/things/*}" additional_bindings { get: "/v1/all/{name=**}" } } } }
  method { name: "CreateThing" input_type: ".x.Change" output_type: ".x.Thing" options { [google.api.http] { post: "/v1/things" body: "thing" } } }
  method { name: "UpdateThing" input_type: ".x.Change" output_type: ".x.Thing" options { [google.api.http] { patch: "/v1/{thing.name=shelves/*/things/*}" body: "thing" } } }
  method { name: "DropThing" input_type: ".x.Thing" output_type: ".google.protobuf.Empty" options { deprecated: true [google.api.http] { delete: "/v1/{name=shelves/*/things/*}" } } }
  method { name: "RenameThing" input_type: ".x.Thing" output_type: ".x.Thing" options { [google.api.http] { post: "/v1/{name=shelves/*/things/*}:rename" body: "*" } } }
  method { name: "WatchThings" input_type: ".x.Watch" output_type: ".x.Event" server_streaming: true options {
    [google.api.http] { get: "/v1/things:watch" } [keelson.policy.v1.method] { resume { response_field: "at" request_field: "since" } } } }
  method { name: "Upload" input_type: ".x.Thing" output_type: ".x.Event" client_streaming: true server_streaming: true options { [google.api.http] { post: "/v1/things:upload" body: "*" } } }
  method { name: "Download" input_type: ".x.Get" output_type: ".google.api.HttpBody" options { [google.api.http] { get: "/v1/{name=shelves/*}/raw" } } }
  method { name: "Hidden" input_type: ".x.Get" output_type: ".x.Thing" } }
`

func TestDocumentHasAnOperationForEachBinding(t *testing.T) {
	doc := describe(t, file(t, things))
	var got []string
	for path, item := range at(t, doc, "paths").(map[string]any) {
		for verb := range item.(map[string]any) {
			got = append(got, verb+" "+path+" "+at(t, item, verb, "operationId").(string))
		}
	}
	sort.Strings(got)
	want := []string{
		"delete /v1/shelves/{shelf}/things/{item} x.Things.DropThing",
		"get /v1/all/{name} x.Things.GetThing-2",
		"get /v1/shelves/{shelf}/raw x.Things.Download",
		"get /v1/shelves/{shelf}/things/{item} x.Things.GetThing",
		"get /v1/things:watch x.Things.WatchThings",
		"patch /v1/shelves/{shelf}/things/{item} x.Things.UpdateThing",
		"post /v1/shelves/{shelf}/things/{item}:rename x.Things.RenameThing",
		"post /v1/things x.Things.CreateThing",
		"post /v1/things:upload x.Things.Upload",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// parameterNames returns the parameters of an operation, headers by their
// component.
func parameterNames(t *testing.T, operation any) string {
	t.Helper()
	var names []string
	for _, p := range at(t, operation, "parameters").([]any) {
		if ref, ok := p.(map[string]any)["$ref"].(string); ok {
			names = append(names, strings.TrimPrefix(ref, "#/components/parameters/"))
			continue
		}
		names = append(names, at(t, p, "in").(string)+":"+at(t, p, "name").(string))
	}
	return strings.Join(names, " ")
}

func statuses(t *testing.T, operation any) string {
	t.Helper()
	all := keys(at(t, operation, "responses").(map[string]any))
	sort.Strings(all)
	return strings.Join(all, " ")
}

func TestOperationsTakeAndAnswerWhatTheRouterDoes(t *testing.T) {
	doc := describe(t, file(t, things))
	for path, want := range map[string]struct{ parameters, statuses string }{
		"get /v1/shelves/{shelf}/things/{item}": {
			"path:shelf path:item correlationId serverTimeout ifMatch ifNoneMatch", "200 304 400 404 406 412 429 500 503 504 default",
		},
		"get /v1/all/{name}": {
			"path:name correlationId serverTimeout ifMatch ifNoneMatch", "200 304 400 404 406 412 429 500 503 504 default",
		},
		"post /v1/things": {
			"query:updateMask query:validateOnly correlationId serverTimeout", "200 201 400 406 408 413 415 429 500 503 504 default",
		},
		"patch /v1/shelves/{shelf}/things/{item}": {
			"path:shelf path:item query:updateMask query:validateOnly correlationId serverTimeout ifMatch", "200 400 404 406 408 409 412 413 415 429 500 503 504 default",
		},
		"delete /v1/shelves/{shelf}/things/{item}": {
			"path:shelf path:item query:etag query:sizeBytes correlationId serverTimeout ifMatch", "200 400 404 406 409 412 429 500 503 504 default",
		},
		"post /v1/shelves/{shelf}/things/{item}:rename": {
			"path:shelf path:item correlationId serverTimeout ifMatch", "200 400 404 406 408 409 412 413 415 429 500 503 504 default",
		},
		"get /v1/things:watch": {
			"query:since correlationId serverTimeout lastEventId", "200 400 406 429 500 503 504 default",
		},
		"post /v1/things:upload": {"correlationId serverTimeout", "200 400 406 408 413 415 429 500 503 504 default"},
	} {
		t.Run(path, func(t *testing.T) {
			verb, path, _ := strings.Cut(path, " ")
			operation := at(t, doc, "paths", path, verb)
			if got := parameterNames(t, operation); got != want.parameters {
				t.Errorf("parameters %q, want %q", got, want.parameters)
			}
			if got := statuses(t, operation); got != want.statuses {
				t.Errorf("answers %q, want %q", got, want.statuses)
			}
		})
	}
}

func TestBodiesHoldWhatThePathDoesNot(t *testing.T) {
	doc := describe(t, file(t, things))
	body := func(path, verb, media, key string) string {
		return jsonOf(t, at(t, doc, "paths", path, verb, "requestBody", "content", media, key))
	}
	for name, test := range map[string]struct{ got, want string }{
		"a field":          {body("/v1/things", "post", "application/json", "schema"), `{"$ref":"#/components/schemas/x.Thing-input"}`},
		"a patch":          {body("/v1/shelves/{shelf}/things/{item}", "patch", "application/json", "schema"), `{"$ref":"#/components/schemas/x.Thing-patch"}`},
		"lines":            {body("/v1/things:upload", "post", "application/x-ndjson", "x-line-schema"), `{"$ref":"#/components/schemas/x.Thing-input"}`},
		"all but the path": {jsonOf(t, sortedKeys(at(t, doc, "paths", "/v1/shelves/{shelf}/things/{item}:rename", "post", "requestBody", "content", "application/json", "schema", "properties"))), `["etag","sizeBytes"]`},
		"input requires":   {jsonOf(t, at(t, doc, "components", "schemas", "x.Thing-input", "required")), `["sizeBytes"]`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.got != test.want {
				t.Errorf("%s, want %s", test.got, test.want)
			}
		})
	}
	for _, form := range []string{"x.Thing", "x.Thing-patch"} {
		if required, ok := at(t, doc, "components", "schemas", form).(map[string]any)["required"]; ok {
			t.Errorf("%s requires %v", form, required)
		}
	}
	answer := at(t, doc, "paths", "/v1/shelves/{shelf}/raw", "get", "responses", "200", "content").(map[string]any)
	if _, ok := answer["*/*"]; !ok || len(answer) != 1 {
		t.Errorf("HttpBody is answered as %v", keys(answer))
	}
}

func sortedKeys(object any) []string {
	all := keys(object.(map[string]any))
	sort.Strings(all)
	return all
}

func TestWhatCannotBeDescribedIsLeftOutAndNamed(t *testing.T) {
	method := func(rule string) string {
		return `method { name: "Wrong" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { ` + rule + ` } } }`
	}
	for rule, want := range map[string]string{
		`get: "v1/x"`:                       "does not begin with a slash",
		`get: "/v1/{name"`:                  "no closing brace",
		`get: "/v1/{name=a/**/b}"`:          "** must be the last",
		`get: "/v1//x"`:                     "is no literal",
		`get: "/v1/x:"`:                     "after the colon",
		`get: "/v1/{nobody}"`:               `the field "nobody"`,
		`get: "/v1/{self}"`:                 "a path holds one scalar",
		`get: "/v1/{name}/{name}"`:          "is there twice",
		`post: "/v1/x" body: "nothing"`:     `the body is the field "nothing"`,
		`get: "/v1/x" response_body: "no"`:  `the response body is the field "no"`,
		`custom { kind: "FLY" path: "/x" }`: `no place for the HTTP method "FLY"`,
		`get: "/v1/good"`:                   "is x.S.Right already",
		`get: "/v1/{name=*}" additional_bindings { get: "/v1/y" additional_bindings { get: "/v1/z" } }`: "only one level",
	} {
		t.Run(rule, func(t *testing.T) {
			f := file(t, `message_type { name: "M" field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
				field { name: "self" number: 2 type: TYPE_MESSAGE type_name: ".x.M" label: LABEL_OPTIONAL } }
				service { name: "S" method { name: "Right" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { get: "/v1/good" } } } `+method(rule)+` }`)
			raw, err := openapi.Document(services(f), openapi.Info{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want one with %q", err, want)
			}
			if got := at(t, parse(t, raw), "paths", "/v1/good", "get", "operationId"); got != "x.S.Right" {
				t.Errorf("/v1/good is %v", got)
			}
		})
	}
}

func TestPathsThatDifferInNamesOnlyAreOnePath(t *testing.T) {
	doc := describe(t, file(t, `message_type { name: "M" field { name: "id" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL } field { name: "name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { get: "/v1/boxes/{id}" } } }
		method { name: "B" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { put: "/v1/{name=boxes/*}" } } } }`))
	if got := sortedKeys(at(t, doc, "paths", "/v1/boxes/{id}")); !cmp.Equal(got, []string{"get", "put"}) {
		t.Errorf("the path has %v", got)
	}
}

func TestInfoServersAndSecurityAreWhatTheCallerSays(t *testing.T) {
	raw, err := openapi.Document(nil, openapi.Info{Title: "T", Version: "2", License: "Apache-2.0", Contact: "us"},
		openapi.WithServer("https://api.example.com", "here"), openapi.WithAPIKey("X-Api-Key"), openapi.WithBearer("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	doc := parse(t, raw)
	delete(doc, "components")
	want := `{"info":{"contact":{"name":"us"},"license":{"name":"Apache-2.0"},"title":"T","version":"2"},"openapi":"3.1.0","paths":{},` +
		`"security":[{"apiKey":[]},{"bearer":[]},{}],"servers":[{"description":"here","url":"https://api.example.com"}]}`
	if got := jsonOf(t, doc); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
