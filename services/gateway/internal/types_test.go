package internal_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// withFile adds a file to the descriptors of this platform that none of the others
// imports.
func withFile(t *testing.T, f *descriptorpb.FileDescriptorProto) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "descriptors.binpb"))
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		t.Fatal(err)
	}
	set.File = append(set.File, f)
	if raw, err = proto.Marshal(set); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "set.binpb")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDetailsOfErrorsAreShownByAllFilesThatCameWithAService(t *testing.T) {
	text, err := proto.Marshal(wrapperspb.String("abc")) // a field of the same number and type
	if err != nil {
		t.Fatal(err)
	}
	detail := &anypb.Any{TypeUrl: "type.googleapis.com/more.Oops", Value: text}
	f := newFake(t, func(string, grpc.ServerStream) error {
		return status.ErrorProto(&spb.Status{Code: int32(codes.NotFound), Message: "gone", Details: []*anypb.Any{detail}})
	})
	path := withFile(t, &descriptorpb.FileDescriptorProto{
		Name: proto.String("more/errors.proto"), Package: proto.String("more"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Oops"), Field: []*descriptorpb.FieldDescriptorProto{{
			Name: proto.String("text"), Number: proto.Int32(1),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(), Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum(),
		}}}},
	})
	w := newWeb(t, f, describedBy(path))
	s := w.ask(t, http.MethodGet, "/v1/users/ada-lovelace", "")
	if s.code != http.StatusNotFound || !strings.Contains(s.body, `{"@type":"type.googleapis.com/more.Oops","text":"abc"}`) {
		t.Errorf("%d %s", s.code, s.body)
	}
}
