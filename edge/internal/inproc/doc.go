// Package inproc makes one gRPC call to an [http.Handler] in the same process,
// without a network: what a protocol in front of a gRPC server needs to speak
// to that server and pass through its interceptors.
//
// The handler is a server's ServeHTTP, which wants what HTTP/2 would give it: a
// request of version 2 with the content type application/grpc, length-prefixed
// messages, a writer that flushes, trailers. This package makes all that of
// bytes and gives bytes back (gRPC over HTTP/2, PROTOCOL-HTTP2.md in grpc/grpc).
// Messages are never compressed: they do not leave the process.
package inproc
