package grpcx

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// Resolvers hands a connection resolvers of its own, which go before those of
// gRPC's registry.
func Resolvers(b ...resolver.Builder) grpc.DialOption { return grpc.WithResolvers(b...) }
