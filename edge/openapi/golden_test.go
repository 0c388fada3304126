package openapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/edge/openapi"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// gatewayDescriptors are those of our services with their comments, which
// tools/generate.sh keeps current.
const gatewayDescriptors = "../../services/gateway/descriptors.binpb"

// described returns a service with its comments.
func described(t testing.TB, name protoreflect.FullName) protoreflect.ServiceDescriptor {
	t.Helper()
	raw, err := os.ReadFile(gatewayDescriptors)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	found, err := files.FindDescriptorByName(name)
	if err != nil {
		t.Fatal(err)
	}
	service, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		t.Fatalf("%s is no service", name)
	}
	return service
}

func TestDocumentOfTheUserServiceIsTheGoldenOne(t *testing.T) {
	got, err := openapi.Document([]protoreflect.ServiceDescriptor{described(t, "user.v1.UserService")}, openapi.Info{Title: "Users"})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "user.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the document changed (- golden, + now); if it should have: go test ./edge/openapi -update\n%s", diff)
	}
}

func TestDocumentIsTheSameInWhateverOrderServicesCome(t *testing.T) {
	all := []protoreflect.ServiceDescriptor{
		userv1.File_user_v1_user_proto.Services().Get(0), auditv1.File_audit_v1_audit_proto.Services().Get(0),
		userv1.File_user_v1_user_proto.Services().Get(0), nil,
	}
	want, err := openapi.Document(all, openapi.Info{})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		slices.Reverse(all)
		got, err := openapi.Document(all, openapi.Info{})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, got) {
			t.Fatal(cmp.Diff(string(want), string(got)))
		}
	}
}

func TestEveryPropertyIsDescribed(t *testing.T) {
	names := []protoreflect.FullName{"user.v1.UserService", "audit.v1.AuditService", "keelson.platform.v1.PlatformService"}
	all := make([]protoreflect.ServiceDescriptor, len(names))
	for i, name := range names {
		all[i] = described(t, name)
	}
	text, err := openapi.Document(all, openapi.Info{})
	if err != nil {
		t.Fatal(err)
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	undescribed(t, document, "")
}

// undescribed fails a test for each property of a schema that has neither a
// description nor a schema elsewhere that may have one. A condition ("if") describes
// nothing.
func undescribed(t *testing.T, node any, path string) {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		properties, _ := node["properties"].(map[string]any)
		for name, property := range properties {
			if p, ok := property.(map[string]any); ok && node["type"] == "object" && p["description"] == nil && p["$ref"] == nil {
				t.Errorf("%s: the property %s has no description", path, name)
			}
		}
		for name, below := range node {
			if name != "if" {
				undescribed(t, below, path+"/"+name)
			}
		}
	case []any:
		for i, below := range node {
			undescribed(t, below, path+"/"+strconv.Itoa(i))
		}
	}
}
