package rest_test

import (
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	// What the file below imports.
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/api/httpbody"
	_ "google.golang.org/genproto/googleapis/rpc/status"
	_ "google.golang.org/protobuf/types/known/anypb"
	_ "google.golang.org/protobuf/types/known/durationpb"
	_ "google.golang.org/protobuf/types/known/emptypb"
	_ "google.golang.org/protobuf/types/known/fieldmaskpb"
	_ "google.golang.org/protobuf/types/known/structpb"
	_ "google.golang.org/protobuf/types/known/timestamppb"
	_ "google.golang.org/protobuf/types/known/wrapperspb"

	_ "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// library is a contract with every kind of rule. It is not linked as Go types.
const library = `
name: "library/v1/library.proto" package: "library.v1" syntax: "proto3"
dependency: ["google/api/annotations.proto", "google/api/field_behavior.proto", "google/api/httpbody.proto", "google/protobuf/any.proto",
  "google/protobuf/duration.proto", "google/protobuf/empty.proto", "google/protobuf/field_mask.proto", "google/protobuf/struct.proto",
  "google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto", "keelson/policy/v1/policy.proto"]
enum_type { name: "Genre" value { name: "GENRE_UNSPECIFIED" number: 0 } value { name: "GENRE_FICTION" number: 1 } value { name: "GENRE_FACT" number: 2 } }
message_type { name: "Place"
  field { name: "street" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "floor_number" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "inner" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".library.v1.Place" } }
message_type { name: "Shelf"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING options { [google.api.field_behavior]: IDENTIFIER } }
  field { name: "etag" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "display_name" number: 3 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "place" number: 4 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".library.v1.Place" }
  field { name: "labels" number: 5 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".library.v1.Shelf.LabelsEntry" }
  field { name: "tags" number: 6 label: LABEL_REPEATED type: TYPE_STRING }
  field { name: "update_time" number: 7 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" options { [google.api.field_behavior]: OUTPUT_ONLY } }
  field { name: "limit" number: 8 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Int32Value" }
  field { name: "places" number: 9 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".library.v1.Place" }
  field { name: "extra" number: 10 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Any" }
  field { name: "count" number: 11 label: LABEL_OPTIONAL type: TYPE_INT64 }
  nested_type { name: "LabelsEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } } }
message_type { name: "NameRequest"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "etag" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "allow_missing" number: 3 label: LABEL_OPTIONAL type: TYPE_BOOL } }
message_type { name: "CreateShelfRequest"
  field { name: "shelf" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".library.v1.Shelf" }
  field { name: "shelf_id" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "validate_only" number: 3 label: LABEL_OPTIONAL type: TYPE_BOOL } }
message_type { name: "UpdateShelfRequest"
  field { name: "shelf" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".library.v1.Shelf" }
  field { name: "update_mask" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask" } }
message_type { name: "Values"
  field { name: "a_bool" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
  field { name: "an_int32" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "an_int64" number: 3 label: LABEL_OPTIONAL type: TYPE_INT64 }
  field { name: "a_uint32" number: 4 label: LABEL_OPTIONAL type: TYPE_UINT32 }
  field { name: "a_uint64" number: 5 label: LABEL_OPTIONAL type: TYPE_UINT64 }
  field { name: "a_float" number: 6 label: LABEL_OPTIONAL type: TYPE_FLOAT }
  field { name: "a_double" number: 7 label: LABEL_OPTIONAL type: TYPE_DOUBLE }
  field { name: "a_string" number: 8 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "some_bytes" number: 9 label: LABEL_OPTIONAL type: TYPE_BYTES }
  field { name: "genre" number: 10 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".library.v1.Genre" }
  field { name: "genres" number: 11 label: LABEL_REPEATED type: TYPE_ENUM type_name: ".library.v1.Genre" }
  field { name: "numbers" number: 12 label: LABEL_REPEATED type: TYPE_INT32 }
  field { name: "at" number: 13 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" }
  field { name: "for" number: 14 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Duration" }
  field { name: "read_mask" number: 15 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.FieldMask" }
  field { name: "wrapped" number: 16 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.UInt64Value" }
  field { name: "place" number: 17 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".library.v1.Place" }
  field { name: "left" number: 18 label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 }
  field { name: "right" number: 19 label: LABEL_OPTIONAL type: TYPE_STRING oneof_index: 0 }
  field { name: "maybe" number: 20 label: LABEL_OPTIONAL type: TYPE_INT32 oneof_index: 1 proto3_optional: true }
  field { name: "places" number: 21 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".library.v1.Place" }
  field { name: "any_json" number: 22 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Struct" }
  oneof_decl { name: "side" } oneof_decl { name: "_maybe" } }
message_type { name: "Names" field { name: "names" number: 1 label: LABEL_REPEATED type: TYPE_STRING } field { name: "next" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "WatchRequest"
  field { name: "after" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 }
  field { name: "filter" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "Change"
  field { name: "position" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 }
  field { name: "text" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "BlobRequest"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "blob" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.api.HttpBody" } }
service { name: "Library"
  method { name: "GetShelf" input_type: ".library.v1.NameRequest" output_type: ".library.v1.Shelf"
    options { [google.api.http] { get: "/v1/{name=shelves/*}" additional_bindings { get: "/v1/archive/{name=**}" } additional_bindings { custom { kind: "PURGE" path: "/v1/{name=shelves/*}" } } } } }
  method { name: "CreateShelf" input_type: ".library.v1.CreateShelfRequest" output_type: ".library.v1.Shelf"
    options { [google.api.http] { post: "/v1/shelves" body: "shelf" } } }
  method { name: "UpdateShelf" input_type: ".library.v1.UpdateShelfRequest" output_type: ".library.v1.Shelf"
    options { [google.api.http] { patch: "/v1/{shelf.name=shelves/*}" body: "shelf" additional_bindings { put: "/v1/{shelf.name=shelves/*}" body: "*" } } } }
  method { name: "DeleteShelf" input_type: ".library.v1.NameRequest" output_type: ".google.protobuf.Empty"
    options { [google.api.http] { delete: "/v1/{name=shelves/*}" } } }
  method { name: "MergeShelf" input_type: ".library.v1.NameRequest" output_type: ".library.v1.Shelf"
    options { [google.api.http] { post: "/v1/{name=shelves/*}:merge" body: "*" } } }
  method { name: "Query" input_type: ".library.v1.Values" output_type: ".library.v1.Values"
    options { [google.api.http] { get: "/v1/values" additional_bindings { get: "/v1/values/{a_bool}/{an_int64}/{genre}/{some_bytes}" } additional_bindings { post: "/v1/values" body: "*" } } } }
  method { name: "ListNames" input_type: ".library.v1.Names" output_type: ".library.v1.Names"
    options { [google.api.http] { get: "/v1/names" response_body: "names" additional_bindings { post: "/v1/names" body: "names" } } } }
  method { name: "Watch" input_type: ".library.v1.WatchRequest" output_type: ".library.v1.Change" server_streaming: true
    options { [google.api.http] { get: "/v1/shelves:watch" } [keelson.policy.v1.method] { resume { response_field: "position" request_field: "after" } } } }
  method { name: "Import" input_type: ".library.v1.Change" output_type: ".library.v1.Change" client_streaming: true server_streaming: true
    options { [google.api.http] { post: "/v1/shelves:import" body: "*" } } }
  method { name: "Collect" input_type: ".library.v1.Change" output_type: ".library.v1.Names" client_streaming: true
    options { [google.api.http] { post: "/v1/shelves:collect" body: "*" } } }
  method { name: "GetFile" input_type: ".library.v1.NameRequest" output_type: ".google.api.HttpBody"
    options { [google.api.http] { get: "/v1/files/{name=**}" } } }
  method { name: "Download" input_type: ".library.v1.NameRequest" output_type: ".google.api.HttpBody" server_streaming: true
    options { [google.api.http] { get: "/v1/blobs/{name}" } } }
  method { name: "Upload" input_type: ".library.v1.BlobRequest" output_type: ".library.v1.Names" client_streaming: true
    options { [google.api.http] { post: "/v1/blobs/{name}" body: "blob" } } }
  method { name: "PutFile" input_type: ".library.v1.BlobRequest" output_type: ".library.v1.Names"
    options { [google.api.http] { put: "/v1/files/{name=**}" body: "blob" } } }
  method { name: "Hidden" input_type: ".library.v1.NameRequest" output_type: ".library.v1.Shelf" } }
`

// parse makes a file of a FileDescriptorProto in text form.
func parse(t testing.TB, text string) protoreflect.FileDescriptor {
	t.Helper()
	fdp := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(text), fdp); err != nil {
		t.Fatalf("parse the test's contract: %v", err)
	}
	fd, err := protodesc.NewFile(fdp, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatalf("make the test's contract: %v", err)
	}
	return fd
}

func libraryService(t testing.TB) protoreflect.ServiceDescriptor {
	t.Helper()
	return parse(t, library).Services().ByName("Library")
}
