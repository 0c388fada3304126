package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
)

// values describes a service whose answers are of Google's types, which have JSON of
// their own, and sometimes none.
func values(t *testing.T) protoreflect.ServiceDescriptor {
	t.Helper()
	method := func(name, out string, stream bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: &name, InputType: proto.String(".google.protobuf.ListValue"), OutputType: proto.String(".google.protobuf." + out), ServerStreaming: &stream}
	}
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("edgetest/values.proto"), Package: proto.String("edgetest.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/struct.proto", "google/protobuf/any.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Values"), Method: []*descriptorpb.MethodDescriptorProto{
			method("Junk", "Any", false), method("Junks", "Any", true), method("Any", "Any", false), method("Anys", "Any", true), method("None", "ListValue", false), method("Nones", "ListValue", true),
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return f.Services().Get(0)
}

// answerValues sends an Any of a type that nobody knows, or values that are none of
// JSON's; twice in a stream.
func answerValues(_ any, ss grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(ss)
	var m proto.Message = &anypb.Any{TypeUrl: "example.com/no.Such", Value: []byte("abc")}
	if strings.Contains(name, "Junk") {
		m = wrapperspb.Bytes([]byte("\xff")) // where a text is to be
	}
	if strings.Contains(name, "None") {
		m = &structpb.ListValue{Values: []*structpb.Value{{}}}
	}
	if err := ss.RecvMsg(&structpb.ListValue{}); err != nil {
		return err
	}
	if strings.HasSuffix(name, "s") {
		if err := ss.SendMsg(m); err != nil {
			return err
		}
	}
	return ss.SendMsg(m)
}

func TestAnswersWithoutAJSONFormOfTheirOwn(t *testing.T) {
	r := &running{log: &log{}}
	var err error
	if r.service, err = keelson.New("edgetest", config(), keelson.WithFrames(), keelson.WithLogOutput(r.log), keelson.WithErrorDomain("edge.test")); err != nil {
		t.Fatal(err)
	}
	if err := r.service.Expose("edgetest.v1.Values", values(t), answerValues); err != nil {
		t.Fatal(err)
	}
	if r.Edge, err = edge.New(r.service, edge.Config{Address: "127.0.0.1:0"}); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	const unknown = `{"@type":"example.com/no.Such","value":"YWJj"}`
	for _, c := range []struct {
		name, method, media string
		says                []string
	}{
		{"Connect, an unknown type", "Any", "application/json", []string{unknown}},
		{"Connect, unknown types", "Anys", "application/connect+json", []string{unknown, unknown}},
		{"gRPC-Web, an unknown type", "Any", "application/grpc-web+json", []string{unknown, "grpc-status: 0"}},
		{"Connect, no JSON", "None", "application/json", []string{`"code":"internal"`, "the answer google.protobuf.ListValue has no JSON form", "google.rpc.ErrorInfo", `"domain":"edge.test"`}},
		{"Connect, no JSON in a stream", "Nones", "application/connect+json", []string{`"code":"internal"`, "has no JSON form", "google.rpc.ErrorInfo"}},
		{"gRPC-Web, no JSON", "None", "application/grpc-web+json", []string{"grpc-status: 13", "grpc-status-details-bin"}},
		{"gRPC-Web, no JSON in a stream", "Nones", "application/grpc-web+json", []string{"grpc-status: 13", "grpc-status-details-bin"}},
		{"Connect, no message", "Junk", "application/json", []string{`"code":"internal"`, "the answer does not parse as google.protobuf.Any", "google.rpc.ErrorInfo"}},
		{"Connect, no messages", "Junks", "application/connect+json", []string{`"code":"internal"`, "does not parse", "google.rpc.ErrorInfo"}},
		{"gRPC-Web, no message", "Junk", "application/grpc-web+json", []string{"grpc-status: 13", "grpc-status-details-bin"}},
		{"gRPC-Web, no messages", "Junks", "application/grpc-web+json", []string{"grpc-status: 13", "grpc-status-details-bin"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := "[]"
			if c.media != "application/json" {
				body = "\x00\x00\x00\x00\x02[]"
			}
			resp, text := do(t, client(t, false), http.MethodPost, url(r, "/edgetest.v1.Values/%s", c.method), body, "Content-Type", c.media)
			for _, says := range c.says {
				at := strings.Index(strings.ReplaceAll(text, ", ", ","), says)
				if at < 0 {
					t.Fatalf("%s %q; want %q", resp.Status, text, says)
				}
				text = text[min(at+len(says), len(text)):]
			}
		})
	}
	if n := r.counted(t, "keelson_edge_requests_total", "code", "INTERNAL"); n != 8 {
		t.Errorf("%v errors are counted, want 8", n)
	}
	if told := r.log.String(); strings.Contains(told, "panicked") {
		t.Errorf("the log is %s", told)
	}
}
