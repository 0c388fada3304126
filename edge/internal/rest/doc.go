// Package rest serves gRPC methods as REST, by their google.api.http rules
// (google/api/http.proto is the law), for any contract: it needs descriptors, no
// Go types. Each request becomes one call to the gRPC server in the same process,
// so interceptors, policy and telemetry are those of every other call.
//
// # Requests
//
// A path is matched segment by segment: literals before "*" before "**", with a
// verb before without, whatever the order of the methods. Slashes are neither
// doubled nor trailing, and not percent-encoded between segments; a path that ends
// with a verb of its template is that verb's, whatever the HTTP method, and a colon
// that is part of a name is "%3A" there.
//
// Names of fields are those of the .proto or of JSON. Query parameters may be nested
// ("place.street"), repeated, enums by name or number, bytes in base64 of both
// alphabets, and Timestamp, Duration, FieldMask and wrappers in their JSON forms.
// What is unknown, wrong, given twice, or missing though it is required (proto2) is INVALID_ARGUMENT with a BadRequest that
// names each field; so are unknown fields of JSON, with line and column. All that is wrong with body, path and query is said
// at once. Bodies may be gzip; [Config].MaxRequest holds before and after
// decompression.
//
// A PATCH whose body is a resource gets an update_mask of the fields that are in
// the JSON, nulls included, when the caller names none: {"displayName": null}
// clears one field. X-Server-Timeout (seconds) bounds the call; without it the
// policy of the method does.
//
// # Answers
//
// JSON as protojson writes it by default: lowerCamelCase names, fields that are
// not set left out, 64-bit integers as strings. A message in an Any whose type is
// not known is {"@type": ..., "value": base64}. A create (POST to a method
// Create*, AIP-133) is 201 with a Location, unless it was validate_only.
// google.api.HttpBody is the body itself.
//
// The field etag is the ETag. If-None-Match of a read gives 304. If-Match of a
// change becomes the request's etag, or that of the resource in its body, so that
// the service compares and changes in one step; a mismatch is 412 then, and 409
// when the etag came otherwise. A condition of a change that cannot be checked is
// refused, never ignored; a read of what has no etag matches none.
//
// # Errors
//
// google.rpc.Status as it is, {"code", "message", "details"}, with the HTTP code
// of google/rpc/code.proto (413 and 500 for REQUEST_TOO_LARGE and RESPONSE_TOO_LARGE,
// where 429 would have a client come again), Retry-After from RetryInfo, WWW-Authenticate with
// 401, Allow with 405, and Accept or Accept-Encoding with 415. A body that breaks
// off is 400 UPLOAD_BROKEN, one that does not come in time 408 REQUEST_TIMEOUT.
//
// A client that names application/problem+json in Accept, also alone, gets RFC 9457: "type"
// urn:keelson:error:DOMAIN:REASON, "instance" urn:keelson:correlation-id:ID, and
// besides the members of the RFC "code", "reason", "domain", "metadata",
// "retry_after" (seconds), "errors" (of BadRequest: "detail", "field", "reason",
// and "pointer" when the field is in the body) and "details" (all others). The
// correlation ID is always the header X-Correlation-Id.
//
// # Streams
//
// A server stream is server-sent events: "event: message" with one message as
// JSON, "id:" from the field that the policy option resume names, a comment as a
// heartbeat; at the end always "event: end" with {} or "event: error" with a
// Status, whose id is where to go on. Last-Event-ID goes into the request as the
// option says and replaces a query parameter of the same field, since browsers
// connect again with the URL they began with. A browser connects again after the
// last event, too, unless it is told to close. With Accept:
// application/x-ndjson (or application/jsonl) each message is a line, and the
// last line, which is always there, is {"status": Status}, with code 0 when all
// went well: an answer without it was cut off. An error before the first message
// is an error like any other; a stream that says nothing for a moment
// ([Config].Opening) is begun, so that a browser knows it is open.
//
// A method whose client streams takes such lines and gives them, both as they
// come, over HTTP/1.1 too. The answer begins with the first result. Results wait
// for a client that does not read yet, up to [Config].MaxBuffered bytes, then the
// upload waits. What the path and the query say holds for each message. A line
// that is wrong, or a body that breaks off, ends what the service receives with
// CANCELED, so that no server takes a part for the whole; what came before it still
// receives, and may answer until then. The error has the metadata line, its number, and taken, how many
// messages before it the service has been given, which may have had their effect; it
// is the last line once results were sent. So it is (REQUEST_TIMEOUT) for a client
// that sends nothing for [Config].Idle while nothing is written to it, unless the
// .proto gives the method an idle_timeout. HttpBody goes up and down in pieces.
package rest
