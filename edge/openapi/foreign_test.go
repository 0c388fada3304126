package openapi_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/edge/openapi"
)

// backend makes a service of a package, from files of its own: as of a backend that
// has its own version of what others have too.
func backend(t *testing.T, pkg, types, path string) protoreflect.ServiceDescriptor {
	t.Helper()
	set := &descriptorpb.FileDescriptorSet{}
	shared := `file { name: "shared.proto" package: "shared" syntax: "proto3" ` + types + ` }`
	service := `file { name: "` + pkg + `.proto" package: "` + pkg + `" syntax: "proto3" dependency: ["shared.proto", "google/api/annotations.proto"]
		service { name: "S" method { name: "A" input_type: ".shared.M" output_type: ".shared.M" options { [google.api.http] { post: "` + path + `" body: "*" } } } } }`
	if err := prototext.Unmarshal([]byte(shared+service), set); err != nil {
		t.Fatal(err)
	}
	files := &protoregistry.Files{}
	resolver := both{files}
	for _, f := range set.GetFile() {
		made, err := protodesc.NewFile(f, resolver)
		if err != nil {
			t.Fatal(err)
		}
		if err := files.RegisterFile(made); err != nil {
			t.Fatal(err)
		}
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(pkg + ".S"))
	if err != nil {
		t.Fatal(err)
	}
	return found.(protoreflect.ServiceDescriptor)
}

// both finds a backend's own files before those that are linked in.
type both struct{ own *protoregistry.Files }

func (b both) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := b.own.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

func (b both) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := b.own.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}

func TestTypesOfOneNameThatDifferHaveSchemasOfTheirOwn(t *testing.T) {
	const (
		inner = `message_type { name: "Inner" field { name: "%" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } }
			message_type { name: "M" field { name: "inner" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".shared.Inner" }
				field { name: "again" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".shared.M" } }`
	)
	old, young := strings.ReplaceAll(inner, "%", "old"), strings.ReplaceAll(inner, "%", "young")
	raw, err := openapi.Document([]protoreflect.ServiceDescriptor{
		backend(t, "a", old, "/a"), backend(t, "b", young, "/b"), backend(t, "c", old, "/c"),
	}, openapi.Info{})
	if err != nil {
		t.Fatal(err)
	}
	doc := parse(t, raw)
	for path, want := range map[string]string{"/a": "old", "/b": "young", "/c": "old"} {
		ref := at(t, doc, "paths", path, "post", "responses", "200", "content", "application/json", "schema", "$ref").(string)
		m := at(t, doc, "components", "schemas", ref[strings.LastIndexByte(ref, '/')+1:], "properties")
		ref = at(t, m, "inner", "$ref").(string)
		fields := at(t, doc, "components", "schemas", ref[strings.LastIndexByte(ref, '/')+1:], "properties").(map[string]any)
		if fields[want] == nil || len(fields) != 1 {
			t.Errorf("%s: %v, want %s", path, fields, want)
		}
	}
	if all := at(t, doc, "components", "schemas").(map[string]any); all["shared.M-2"] == nil || all["shared.M-3"] != nil {
		t.Errorf("schemas: %v", keys(all))
	}
}

func TestAMessageMayHaveTheNameOfASchemaOfOurs(t *testing.T) {
	doc := describe(t, file(t, `message_type { name: "M" }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { post: "/v1/a" body: "*" } } } }`))
	if at(t, doc, "components", "schemas", "Problem", "required") == nil {
		t.Error("no problem")
	}
	p := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(`name: "p.proto" syntax: "proto3" dependency: "google/api/annotations.proto" message_type { name: "Problem" }
		service { name: "S" method { name: "A" input_type: ".Problem" output_type: ".Problem" options { [google.api.http] { post: "/v1/a" body: "*" } } } }`), p); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(p, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	schemas := at(t, describe(t, f), "components", "schemas")
	if jsonOf(t, at(t, schemas, "Problem-2")) != `{"type":"object"}` || at(t, schemas, "Problem", "required") == nil {
		t.Errorf("%s", jsonOf(t, schemas))
	}
}

func TestAnswersMayHoldWhatIsNewerThanTheDocument(t *testing.T) {
	doc := describe(t, file(t, `enum_type { name: "E" value { name: "A" number: 0 } }
		message_type { name: "M" field { name: "e" number: 1 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".x.E" }
			field { name: "any" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Any" }
			field { name: "nothing" number: 3 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".google.protobuf.NullValue" } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { get: "/v1/a" } } } }`))
	if got := jsonOf(t, at(t, doc, "components", "schemas", "x.M", "properties", "e", "anyOf")); !strings.Contains(got, "integer") {
		t.Errorf("an enum is %s", got)
	}
	if got := at(t, doc, "components", "schemas", "google.protobuf.Any").(map[string]any); got["required"] != nil {
		t.Errorf("an Any that holds nothing is {}: %v", got)
	}
	parameters := at(t, doc, "paths", "/v1/a", "get", "parameters").([]any)
	if got := jsonOf(t, parameters); !strings.Contains(got, `"schema":{"$ref":"#/components/schemas/x.E"}`) || strings.Contains(got, "nothing") {
		t.Errorf("parameters are %s", got)
	}
}

func TestParametersHaveNamesThatAQueryCanHold(t *testing.T) {
	doc := describe(t, file(t, `message_type { name: "M" field { name: "dotted" json_name: "a.b" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { get: "/v1/a" } } } }`))
	if got := at(t, at(t, doc, "paths", "/v1/a", "get", "parameters").([]any)[0], "name"); got != "dotted" {
		t.Errorf("the parameter is %v", got)
	}
}

func TestWhatIsServedElsewhereIsLeftOut(t *testing.T) {
	f := file(t, `message_type { name: "M" field { name: "id" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } }
		service { name: "S"
			method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { get: "/docs/{id}" additional_bindings { get: "/v1/a" } } } }
			method { name: "B" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { custom { kind: "get" path: "/v1/b" } } } } }`)
	raw, err := openapi.Document(services(f), openapi.Info{}, openapi.WithoutPaths(func(path string) bool { return path == "/docs/{id}" }))
	if err == nil || !strings.Contains(err.Error(), "describe x.S.A: GET /docs/{id} is where something else is served") || !strings.Contains(err.Error(), `no place for the HTTP method "get"`) {
		t.Errorf("%v", err)
	}
	if got := keys(at(t, parse(t, raw), "paths").(map[string]any)); len(got) != 1 || got[0] != "/v1/a" {
		t.Errorf("paths are %v", got)
	}
}

func TestWhatProto2RequiresIsRequired(t *testing.T) {
	p := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(`name: "two.proto" package: "x" syntax: "proto2" dependency: "google/api/annotations.proto"
		message_type { name: "M" field { name: "must" number: 1 label: LABEL_REQUIRED type: TYPE_STRING } }
		service { name: "S" method { name: "A" input_type: ".x.M" output_type: ".x.M" options { [google.api.http] { post: "/v1/a" body: "*" additional_bindings { get: "/v1/a" } } } } }`), p); err != nil {
		t.Fatal(err)
	}
	f, err := protodesc.NewFile(p, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	doc := describe(t, f)
	if got := jsonOf(t, at(t, doc, "components", "schemas", "x.M-input", "required")); got != `["must"]` {
		t.Errorf("a request requires %s", got)
	}
	if required := at(t, doc, "paths", "/v1/a", "post", "requestBody", "required"); required != true {
		t.Errorf("the body is required: %v", required)
	}
	if required := at(t, at(t, doc, "paths", "/v1/a", "get", "parameters").([]any)[0], "required"); required != true {
		t.Errorf("the parameter is required: %v", required)
	}
	if answer := at(t, doc, "components", "schemas", "x.M").(map[string]any); answer["required"] != nil {
		t.Errorf("an answer is shown as it came, and yet requires %v", answer["required"])
	}
}
