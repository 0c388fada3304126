package rest_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// place describes a service whose message has another field than others of its name.
func place(t *testing.T, field string) protoreflect.ServiceDescriptor {
	t.Helper()
	return parse(t, `name: "one.proto" package: "one" syntax: "proto3" dependency: "google/protobuf/timestamp.proto"
		message_type { name: "M" field { name: "`+field+`" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
			field { name: "at" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Timestamp" } }
		service { name: "S" method { name: "Do" input_type: ".one.M" output_type: ".one.M" } }`).Services().Get(0)
}

// with is a service that came with a file.
type with struct {
	protoreflect.ServiceDescriptor
	file protoreflect.FileDescriptor
}

func (w with) Files() *protoregistry.Files {
	files := &protoregistry.Files{}
	_ = files.RegisterFile(w.file) // it is the only one
	return files
}

func TestTypesAreThoseOfTheService(t *testing.T) {
	old, young := place(t, "a"), place(t, "b")
	for name, c := range map[string]struct {
		types  *rest.Types
		find   string
		want   protoreflect.MessageDescriptor // nil: none
		linked bool
	}{
		"the service's own":               {rest.NewTypes(old), "one.M", old.Methods().Get(0).Input(), false},
		"another version of the file":     {rest.NewTypes(young), "one.M", young.Methods().Get(0).Input(), false},
		"imported, and linked as it is":   {rest.NewTypes(old), "google.protobuf.Timestamp", timestamppb.File_google_protobuf_timestamp_proto.Messages().Get(0), true},
		"linked with the service":         {rest.NewTypes(userv1.File_user_v1_user_proto.Services().Get(0)), "user.v1.User", (&userv1.User{}).ProtoReflect().Descriptor(), true},
		"linked, but not of the service":  {rest.NewTypes(old), "user.v1.User", (&userv1.User{}).ProtoReflect().Descriptor(), true},
		"linked, and there is no service": {rest.NewTypes(nil), "user.v1.User", (&userv1.User{}).ProtoReflect().Descriptor(), true},
		"of a file that came with it":     {rest.NewTypes(with{young, old.ParentFile()}), "one.M", old.Methods().Get(0).Input(), false},
		"unknown":                         {rest.NewTypes(old), "one.Other", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			byName, err := c.types.FindMessageByName(protoreflect.FullName(c.find))
			byURL, errURL := c.types.FindMessageByURL("type.example.com/" + c.find)
			if c.want == nil {
				if err == nil || errURL == nil {
					t.Errorf("%v, %v", byName, byURL)
				}
				return
			}
			if err != nil || errURL != nil || byName.Descriptor() != c.want || byURL.Descriptor() != c.want {
				t.Fatalf("%v (%v), %v (%v)", byName, err, byURL, errURL)
			}
			linked, err := protoregistry.GlobalTypes.FindMessageByName(byName.Descriptor().FullName())
			if got := err == nil && linked == byName && linked == byURL; got != c.linked {
				t.Errorf("it is the linked type: %t", got)
			}
		})
	}
}
