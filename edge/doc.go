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
//  5. REST, by the google.api.http annotations of the .proto; a route that never gets
//     its turn is not described, and the log names it
//
// Over Connect, a POST of JSON or protobuf to a path of a service that is served is a
// call whether it says Connect-Protocol-Version or not, and fields of JSON that are not
// known are ignored, as the protocol's own servers do; REST refuses them.
//
// Over HTTP/1.1 nothing that is left of a body is ever taken for a request: the edge
// reads the rest of what nobody wanted, up to 256 KiB and in write_timeout, or ends the
// connection after the answer. Connections of HTTP/1.0 end after each answer. An answer
// that a panic cuts is broken off, so that it is not taken for a whole one.
//
// What fits none is answered with 404, as google.rpc.Status in JSON; at the path of a
// method with 405 or 415, by HTTP alone.
package edge
