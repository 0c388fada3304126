package openapi_test

import (
	"encoding/json"
	"strings"
	"testing"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson/edge/openapi"
	_ "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// imports are the files that described files may use.
var imports = []string{
	"google/protobuf/any.proto", "google/protobuf/duration.proto", "google/protobuf/empty.proto",
	"google/protobuf/field_mask.proto", "google/protobuf/struct.proto", "google/protobuf/timestamp.proto",
	"google/protobuf/wrappers.proto", "google/api/httpbody.proto", "google/rpc/status.proto",
}

// file makes a file of package x from what a FileDescriptorProto holds in the text
// format.
func file(t *testing.T, text string) protoreflect.FileDescriptor {
	t.Helper()
	p := &descriptorpb.FileDescriptorProto{}
	header := `name: "x.proto" package: "x" syntax: "proto3" dependency: "` + strings.Join(imports, `" dependency: "`) + `"` + "\n"
	if err := prototext.Unmarshal([]byte(header+text), p); err != nil {
		t.Fatalf("parse the file: %v", err)
	}
	made, err := protodesc.NewFile(p, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatalf("make the file: %v", err)
	}
	return made
}

func services(f protoreflect.FileDescriptor) []protoreflect.ServiceDescriptor {
	var all []protoreflect.ServiceDescriptor
	for i := range f.Services().Len() {
		all = append(all, f.Services().Get(i))
	}
	return all
}

// describe returns the document of a file's services, read back.
func describe(t *testing.T, f protoreflect.FileDescriptor) map[string]any {
	t.Helper()
	raw, err := openapi.Document(services(f), openapi.Info{})
	if err != nil {
		t.Fatalf("describe: %v", err)
	}
	return parse(t, raw)
}

func parse(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatalf("the document is no JSON: %v", err)
	}
	return doc
}

// at returns what is at a path in a document; a step with a star in it is the one
// key that begins so.
func at(t *testing.T, doc any, path ...string) any {
	t.Helper()
	for i, step := range path {
		object, ok := doc.(map[string]any)
		if !ok {
			t.Fatalf("%s: no object", strings.Join(path[:i], " > "))
		}
		if doc, ok = object[step]; !ok {
			t.Fatalf("%s: there is no %q in %v", strings.Join(path[:i], " > "), step, keys(object))
		}
	}
	return doc
}

func keys(object map[string]any) []string {
	var all []string
	for key := range object {
		all = append(all, key)
	}
	return all
}

// jsonOf writes a part of a document, to compare it with.
func jsonOf(t *testing.T, part any) string {
	t.Helper()
	raw, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
