// Package conformance checks, with tools that are not ours, what is promised to
// others: the OpenAPI document against the services as they run, and gRPC,
// gRPC-Web and Connect against the public suite of connectrpc.com. README.md tells
// how, and what fails and why.
package conformance
