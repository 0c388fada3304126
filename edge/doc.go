// Package edge lets browsers and the public reach a service: gRPC-Web (binary and
// text), Connect, gRPC and REST on one listener, from the same .proto, in front of
// the same gRPC server, so that errors, policy and telemetry are the same whichever
// way a call came.
//
// An [Edge] is an [net/http.Handler] and a front of a [keelson.Service]: it listens
// when the service does, and takes part in its drain. What it adds is what a
// listener towards strangers needs: limits and timeouts for slow and hostile
// clients, CORS with explicit origins, security headers, and the removal of headers
// that only the platform may set.
//
// A request goes to the first that it fits:
//
//  1. native gRPC (HTTP/2, application/grpc): the service itself
//  2. gRPC-Web and Connect: transcoded to gRPC, for the same service
//  3. /openapi.json and /docs
//  4. handlers that were added with [WithHandler]
//  5. REST, by the google.api.http annotations of the .proto
//
// What fits none is answered with 404, as google.rpc.Status in JSON; at the path of a
// method with 405 or 415, by HTTP alone.
package edge
