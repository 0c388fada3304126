package openapi_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/openapi"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
)

// A service is described by its descriptors alone.
func Example() {
	services := auditv1.File_audit_v1_audit_proto.Services()
	raw, err := openapi.Document([]protoreflect.ServiceDescriptor{services.Get(0)}, openapi.Info{Title: "History"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var doc struct {
		OpenAPI string                                `json:"openapi"`
		Paths   map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(doc.OpenAPI)
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		fmt.Println(path, slices.Sorted(maps.Keys(doc.Paths[path])))
	}
	// Output:
	// 3.1.0
	// /v1/changes [get]
	// /v1/changes/{change} [get]
	// /v1/changes:follow [post]
}
