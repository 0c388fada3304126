package openapi_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/edge/openapi"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// choices are the bytes of a fuzzer as decisions.
type choices struct{ left []byte }

// below returns a number from 0 to n-1.
func (c *choices) below(n int) int {
	if len(c.left) == 0 || n < 2 {
		return 0
	}
	b := c.left[0]
	c.left = c.left[1:]
	return int(b) % n
}

func (c *choices) text() string {
	n := min(c.below(12), len(c.left))
	text := string(c.left[:n])
	c.left = c.left[n:]
	return strings.ToValidUTF8(text, "?")
}

// randomFile makes a file that is valid, with whatever in it that is not checked.
func randomFile(c *choices) *descriptorpb.FileDescriptorProto {
	const messages = 3
	f := &descriptorpb.FileDescriptorProto{Name: proto.String("r.proto"), Package: proto.String("r"), Syntax: proto.String("proto3"), Dependency: imports}
	for m := range messages {
		f.MessageType = append(f.MessageType, randomMessage(c, m))
	}
	service := &descriptorpb.ServiceDescriptorProto{Name: proto.String("S")}
	for i := range 1 + c.below(4) {
		service.Method = append(service.Method, randomMethod(c, i))
	}
	f.Service = append(f.Service, service)
	return f
}

func randomMessage(c *choices, index int) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: proto.String(fmt.Sprintf("M%d", index))}
	types := []string{
		".r.M0", ".r.M1", ".r.M2", ".google.protobuf.Any", ".google.protobuf.Timestamp", ".google.protobuf.Duration", ".google.protobuf.Value",
		".google.protobuf.FieldMask", ".google.protobuf.Int64Value", ".google.protobuf.Empty", ".google.rpc.Status", ".google.api.HttpBody",
	}
	for i := range c.below(6) {
		field := &descriptorpb.FieldDescriptorProto{
			Name: proto.String([]string{"name", "etag", "a", "b_c", "d", "validate_only"}[i]), Number: proto.Int32(int32(i + 1)),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			Type:  descriptorpb.FieldDescriptorProto_Type(1 + c.below(18)).Enum(),
		}
		if c.below(4) == 0 {
			field.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
		}
		switch field.GetType() {
		case descriptorpb.FieldDescriptorProto_TYPE_GROUP, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE:
			field.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
			field.TypeName = proto.String(types[c.below(len(types))])
		case descriptorpb.FieldDescriptorProto_TYPE_ENUM:
			field.TypeName = proto.String(".google.protobuf.NullValue")
		}
		if c.below(3) == 0 { // options of any bytes, as a stranger's file has them
			raw := []byte(c.text())
			options := &descriptorpb.FieldOptions{}
			if proto.Unmarshal(raw, options) == nil {
				field.Options = options
			}
		}
		m.Field = append(m.Field, field)
	}
	return m
}

func randomMethod(c *choices, index int) *descriptorpb.MethodDescriptorProto {
	paths := []string{"/v1/{name}", "/v1/{name=a/*}", "/v1/{name=**}", "/v1/x:y", "/v1/{a.name=b/*/c/*}:do", "/", "/v1/*/**"}
	bodies := []string{"", "*", "a", "name", "d", "a.name"}
	path := paths[c.below(len(paths))]
	if c.below(3) == 0 {
		path = "/" + c.text()
	}
	rule := &annotations.HttpRule{Body: bodies[c.below(len(bodies))], ResponseBody: []string{"", "a", "d"}[c.below(3)]}
	switch c.below(4) {
	case 0:
		rule.Pattern = &annotations.HttpRule_Get{Get: path}
	case 1:
		rule.Pattern = &annotations.HttpRule_Post{Post: path}
	case 2:
		rule.Pattern = &annotations.HttpRule_Patch{Patch: path}
	case 3:
		rule.Pattern = &annotations.HttpRule_Custom{Custom: &annotations.CustomHttpPattern{Kind: c.text(), Path: path}}
	}
	options := &descriptorpb.MethodOptions{}
	proto.SetExtension(options, annotations.E_Http, rule)
	return &descriptorpb.MethodDescriptorProto{
		Name: proto.String(fmt.Sprintf("%s%d", []string{"Get", "Create", "Do"}[c.below(3)], index)), Options: options,
		InputType: proto.String(fmt.Sprintf(".r.M%d", c.below(3))), OutputType: proto.String(fmt.Sprintf(".r.M%d", c.below(3))),
		ClientStreaming: proto.Bool(c.below(3) == 0), ServerStreaming: proto.Bool(c.below(3) == 0),
	}
}

func FuzzDocumentDescribesAnyServices(f *testing.F) {
	f.Add([]byte("a random choice of bytes \x00\x01\x02\x03\x04\x05\x06\x07 to begin with, and more of them 0123456789"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		made, err := protodesc.NewFile(randomFile(&choices{raw}), protoregistry.GlobalFiles)
		if err != nil {
			return // no description to describe
		}
		checkDescribed(t, made)
	})
}

func FuzzDocumentDescribesAnyFile(f *testing.F) {
	raw, err := proto.Marshal(protodesc.ToFileDescriptorProto(userv1.File_user_v1_user_proto))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(raw, p); err != nil {
			return // no description to describe
		}
		made, err := protodesc.FileOptions{AllowUnresolvable: true}.New(p, protoregistry.GlobalFiles)
		if err != nil {
			return // no description to describe
		}
		checkDescribed(t, made)
	})
}

// checkDescribed checks what holds for every document: it is JSON, its references
// lead somewhere, and its operations have names of their own.
func checkDescribed(t *testing.T, f protoreflect.FileDescriptor) {
	t.Helper()
	raw, err := openapi.Document(services(f), openapi.Info{})
	if raw == nil {
		t.Fatalf("there is no document: %v", err)
	}
	doc := parse(t, raw)
	seen := map[any]bool{}
	walk(doc, func(object map[string]any) {
		if ref, ok := object["$ref"].(string); ok && !leads(doc, ref) {
			t.Errorf("%s leads nowhere", ref)
		}
		if id, ok := object["operationId"]; ok {
			if seen[id] {
				t.Errorf("two operations are %v", id)
			}
			seen[id] = true
		}
	})
}

func walk(part any, visit func(map[string]any)) {
	switch part := part.(type) {
	case map[string]any:
		visit(part)
		for _, below := range part {
			walk(below, visit)
		}
	case []any:
		for _, below := range part {
			walk(below, visit)
		}
	}
}

func leads(doc map[string]any, ref string) bool {
	var at any = doc
	for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		object, ok := at.(map[string]any)
		if !ok {
			return false
		}
		if at, ok = object[step]; !ok {
			return false
		}
	}
	return true
}
