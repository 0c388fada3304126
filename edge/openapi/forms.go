package openapi

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// The forms in which package edge speaks REST. What is here is what its router
// does; nothing else in this package knows it.
const (
	mediaJSON    = "application/json"
	mediaProblem = "application/problem+json" // RFC 9457
	mediaEvents  = "text/event-stream"        // WHATWG HTML, 9.2
	mediaLines   = "application/x-ndjson"

	mediaAny = "*/*"

	// operationName is a message that says that something is being made, not that
	// it was.
	operationName = "google.longrunning.Operation"

	// etagField is the field of a resource, and of a request, that holds an
	// entity tag (AIP-154).
	etagField = "etag"
)

// queryName returns the name of a field in a query. The router takes the name in
// the .proto too.
func queryName(field protoreflect.FieldDescriptor) string {
	if name := field.JSONName(); !strings.Contains(name, ".") {
		return name
	}
	return string(field.Name()) // in a query a dot leads into a message
}

// textField returns the field of a message that is one string with a name.
func textField(m protoreflect.MessageDescriptor, name protoreflect.Name) protoreflect.FieldDescriptor {
	field := m.Fields().ByName(name)
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return nil
	}
	return field
}

// isHTTPBody says whether a message is a body as it is, without JSON.
func isHTTPBody(m protoreflect.MessageDescriptor) bool {
	return m != nil && m.FullName() == "google.api.HttpBody"
}
