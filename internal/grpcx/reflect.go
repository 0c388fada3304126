package grpcx

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/reflection"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionalphapb "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protodesc"
)

// Reflect serves gRPC reflection, in both of its versions, of the services that
// list names when it is asked, with the descriptors that find finds.
func Reflect(s *grpc.Server, list reflection.ServiceInfoProvider, find protodesc.Resolver) {
	opts := reflection.ServerOptions{Services: list, DescriptorResolver: find}
	reflectionpb.RegisterServerReflectionServer(s, reflection.NewServerV1(opts))
	reflectionalphapb.RegisterServerReflectionServer(s, reflection.NewServer(opts)) //nolint:staticcheck // old clients ask it
}
