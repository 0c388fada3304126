package internal_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// echoFile describes test.v1.Echo, with more unary methods if wanted, and
// test.v1.Secret.
func echoFile(more ...string) *descriptorpb.FileDescriptorProto {
	text := proto.String(".google.protobuf.StringValue")
	method := func(name string, client, server bool, level descriptorpb.MethodOptions_IdempotencyLevel) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: &name, InputType: text, OutputType: text, ClientStreaming: &client, ServerStreaming: &server,
			Options: &descriptorpb.MethodOptions{IdempotencyLevel: &level},
		}
	}
	const unknown, read = descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN, descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	echo := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Echo"), Method: []*descriptorpb.MethodDescriptorProto{
		method("Unary", false, false, unknown), method("Read", false, false, read), method("Watch", false, true, read),
		method("Send", true, false, unknown), method("Bidi", true, true, unknown),
	}}
	for _, name := range more {
		echo.Method = append(echo.Method, method(name, false, false, unknown))
	}
	secret := &descriptorpb.ServiceDescriptorProto{Name: proto.String("Secret"), Method: []*descriptorpb.MethodDescriptorProto{method("Unary", false, false, unknown)}}
	return &descriptorpb.FileDescriptorProto{
		Name: proto.String("test/v1/echo.proto"), Package: proto.String("test.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/wrappers.proto"}, Service: []*descriptorpb.ServiceDescriptorProto{echo, secret},
	}
}

func echoSet(more ...string) *descriptorpb.FileDescriptorSet {
	return &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		protodesc.ToFileDescriptorProto(wrapperspb.File_google_protobuf_wrappers_proto), echoFile(more...),
	}}
}

// echoDescriptors writes a file of descriptors.
func echoDescriptors(t testing.TB) string {
	t.Helper()
	raw, err := proto.Marshal(echoSet())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "echo.binpb")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// described is what a fake backend says of itself; it can change.
type described struct {
	files atomic.Pointer[protoregistry.Files]
}

func describe(t testing.TB, set *descriptorpb.FileDescriptorSet) *described {
	t.Helper()
	d := &described{}
	d.set(t, set)
	return d
}

func (d *described) set(t testing.TB, set *descriptorpb.FileDescriptorSet) {
	t.Helper()
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	d.files.Store(files)
}

func (d *described) GetServiceInfo() map[string]grpc.ServiceInfo {
	return map[string]grpc.ServiceInfo{echoService: {}}
}

func (d *described) options() reflection.ServerOptions {
	return reflection.ServerOptions{Services: d, DescriptorResolver: resolver{d}}
}

// byV1 serves the newest reflection.
func (d *described) byV1(s *grpc.Server) {
	reflectionv1.RegisterServerReflectionServer(s, reflection.NewServerV1(d.options()))
}

// byV1Alpha serves the old one only.
func (d *described) byV1Alpha(s *grpc.Server) {
	reflectionv1alpha.RegisterServerReflectionServer(s, reflection.NewServer(d.options()))
}

type resolver struct{ *described }

func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	return r.files.Load().FindFileByPath(path)
}

func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	return r.files.Load().FindDescriptorByName(name)
}
