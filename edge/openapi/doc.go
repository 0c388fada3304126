// Package openapi describes services as OpenAPI 3.1, from their descriptors
// alone, and serves a page on which a person tries them out.
//
// Document writes one operation for each binding of a google.api.http rule, the
// additional ones too, in the forms that package edge speaks: see the comment
// of package edge for what REST is there. Schemas are JSON Schema 2020-12 in
// protojson's forms: 64-bit integers are strings, enums are names, bytes are
// base64, and the well-known types are what protojson makes of them.
//
// # Where things come from
//
//	summary, description        comments, when the descriptors carry source info
//	operationId                 <full method name>, and -2, -3 for additional bindings
//	tags                        one for each service
//	path parameters             the variables of the template, named for the resource
//	query parameters            fields bound neither to the path nor to the body
//	required, readOnly, ...     google.api.field_behavior
//	maxLength, pattern, ...     buf.validate, where JSON Schema means the same
//	ETag, If-Match, 304, 412    a field `etag`, in the answer and in the request
//	Last-Event-ID               (keelson.policy.v1.method).resume
//	409, 404 and their reasons  the paragraph "Errors:" of a method's comment
//
// # Requests and answers differ
//
// What a request must hold, an answer need not: protojson leaves out what is
// empty, and an update sends only what changes. A message whose two forms differ
// has a schema each: `user.v1.User` is what is answered, `user.v1.User-input`
// what is sent, and `user.v1.User-patch` what a PATCH sends.
//
// The package keeps no state; all of it is safe for concurrent use.
package openapi
