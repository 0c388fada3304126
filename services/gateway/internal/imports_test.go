package internal_test

import (
	"fmt"
	"strings"
	"testing"

	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

func TestABackendThatDescribesStrangely(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse
		methods int    // found; 0: the service is not
		want    string // of the error; empty: none
	}{
		"many imports, of one another too": {func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			var before []string
			for i := range 100 {
				name := fmt.Sprintf("%d.proto", i)
				if name == r.GetFileByFilename() {
					return answers(marshaled(t, &descriptorpb.FileDescriptorProto{Name: &name, Dependency: before}))
				}
				before = append(before, name)
			}
			f := echoFile()
			f.Dependency = append(f.Dependency, before...)
			return answers(marshaled(t, f))
		}, 5, ""},
		"imports in a circle": {func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			f := echoFile()
			f.Dependency = append(f.Dependency, "back.proto")
			if r.GetFileByFilename() == "back.proto" {
				f = &descriptorpb.FileDescriptorProto{Name: proto.String("back.proto"), Dependency: []string{f.GetName()}}
			}
			return answers(marshaled(t, f))
		}, 0, "not valid"},
		"another file than it was asked for": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			f := echoFile()
			f.Dependency = append(f.Dependency, "never.proto")
			return answers(marshaled(t, f))
		}, 0, "never.proto"},
		"types that nobody describes": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			f := echoFile()
			f.GetService()[0].GetMethod()[0].InputType = proto.String(".test.v1.Missing")
			return answers(marshaled(t, f))
		}, 0, "not valid"},
		"another service": {func(*reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
			f := echoFile()
			f.Service = f.GetService()[1:]
			return answers(marshaled(t, f))
		}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := ask(t, 1<<20, tc.answer)
			switch {
			case found[echoService] != tc.methods:
				t.Errorf("found %v; want %d methods", found, tc.methods)
			case tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error is %v; want %q in it", err, tc.want)
			}
		})
	}
}
