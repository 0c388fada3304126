package keelson_test

import (
	"io"
	"testing"

	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson"
)

// A service that is registered by its Go type shows its comments where it was given
// a descriptor that has them.
func TestADescriptorThatIsGivenDescribesAServiceWithAGoType(t *testing.T) {
	const name = "grpc.testing.TestService"
	for title, tc := range map[string]struct {
		change func(*descriptorpb.ServiceDescriptorProto)
		used   bool
	}{
		"the same":         {func(*descriptorpb.ServiceDescriptorProto) {}, true},
		"a method less":    {func(s *descriptorpb.ServiceDescriptorProto) { s.Method = s.Method[1:] }, false},
		"other kinds":      {func(s *descriptorpb.ServiceDescriptorProto) { s.Method[0].ServerStreaming = new(true) }, false},
		"another request":  {func(s *descriptorpb.ServiceDescriptorProto) { s.Method[0].InputType = s.Method[1].InputType }, false},
		"another response": {func(s *descriptorpb.ServiceDescriptorProto) { s.Method[0].OutputType = s.Method[1].OutputType }, false},
	} {
		t.Run(title, func(t *testing.T) {
			file := protodesc.ToFileDescriptorProto(testpb.File_grpc_testing_test_proto)
			for _, s := range file.GetService() {
				if s.GetName() == "TestService" {
					tc.change(s)
				}
			}
			described, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
			if err != nil {
				t.Fatal(err)
			}
			given := described.Services().ByName("TestService")
			s, err := keelson.New("test", keelson.Config{}, keelson.WithDescriptors(given), keelson.WithLogOutput(io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			testpb.RegisterTestServiceServer(s, &stub{})
			var found protoreflect.ServiceDescriptor
			for _, d := range s.Contract().Services {
				if d.FullName() == name {
					found = d
				}
			}
			if used := found == given; used != tc.used || found == nil {
				t.Errorf("used: %t", used)
			}
		})
	}
}
