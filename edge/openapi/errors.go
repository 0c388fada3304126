package openapi

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const typePrefix = "type.googleapis.com/"

// details are the messages of google/rpc/error_details.proto, and what each
// tells.
func details() []struct {
	message protoreflect.MessageDescriptor
	text    string
} {
	return []struct {
		message protoreflect.MessageDescriptor
		text    string
	}{
		{(*errdetails.ErrorInfo)(nil).ProtoReflect().Descriptor(), "Why, for programs: a reason that is unique in its domain."},
		{(*errdetails.BadRequest)(nil).ProtoReflect().Descriptor(), "Which fields of the request are wrong, and why."},
		{(*errdetails.RetryInfo)(nil).ProtoReflect().Descriptor(), "How long to wait before trying again."},
		{(*errdetails.QuotaFailure)(nil).ProtoReflect().Descriptor(), "Which limit was exceeded."},
		{(*errdetails.PreconditionFailure)(nil).ProtoReflect().Descriptor(), "What would have had to hold."},
		{(*errdetails.ResourceInfo)(nil).ProtoReflect().Descriptor(), "Which resource it is about."},
		{(*errdetails.RequestInfo)(nil).ProtoReflect().Descriptor(), "The correlation ID, for whoever looks for the call."},
		{(*errdetails.DebugInfo)(nil).ProtoReflect().Descriptor(), "What developers want to know."},
		{(*errdetails.Help)(nil).ProtoReflect().Descriptor(), "Where to read more."},
		{(*errdetails.LocalizedMessage)(nil).ProtoReflect().Descriptor(), "The message in a person's language."},
	}
}

// parts are the messages inside details, and what each tells.
func parts() map[string]string {
	return map[string]string{
		"google.rpc.BadRequest.FieldViolation":     "One field that is wrong.",
		"google.rpc.QuotaFailure.Violation":        "One limit that was exceeded.",
		"google.rpc.PreconditionFailure.Violation": "One condition that does not hold.",
		"google.rpc.Help.Link":                     "One place to read.",
	}
}

// statusName is both the message and the schema of errors.
const statusName = "google.rpc.Status"

// statusSchema returns the schema of errors as they are over every protocol.
func statusSchema(s *schemas) *object {
	return s.refer(statusName, func() *object {
		return newObject("type", "object",
			"description", "An error (google.rpc.Status): the same code, message and details over every protocol. Decide by `code` and by the reason of the ErrorInfo, never by the message.",
			"properties", newObject(
				"code", newObject("type", "integer", "format", "int32",
					"description", "A google.rpc.Code, such as 5 for NOT_FOUND."),
				"message", newObject("type", "string", "description", "For developers, in English."),
				"details", detailsSchema(s)))
	})
}

func detailsSchema(s *schemas) *object {
	return newObject("type", "array", "description", "What more is known, typed. Details of other types may come too.",
		"items", s.refer(statusName+"-detail", func() *object { return detail(s) }))
}

// detail lets any message through and checks those that are known.
func detail(s *schemas) *object {
	all := []any{s.refer("google.protobuf.Any", anyMessage)}
	for _, d := range details() {
		for i := range d.message.Messages().Len() {
			part := d.message.Messages().Get(i)
			if text := parts()[string(part.FullName())]; text != "" {
				s.refer(s.names.of(part), func() *object {
					return newObject("type", "object", "description", text).merge(s.object(part, output, nil))
				})
			}
		}
		name := string(d.message.FullName())
		known := s.refer(s.names.of(d.message), func() *object {
			made := s.object(d.message, output, nil)
			return newObject("type", "object", "description", d.text).merge(made)
		})
		all = append(all, newObject(
			"if", newObject("properties", newObject("@type", newObject("const", typePrefix+name)), "required", []string{"@type"}),
			"then", known))
	}
	return newObject("type", "object", "description", "One detail of an error, of the type that `@type` names.", "allOf", all)
}

// problemName is the schema of errors as RFC 9457 has them.
const problemName = "Problem"

// problemSchema is the form of errors for clients that ask for it (RFC 9457).
func problemSchema(s *schemas) *object {
	text := func(about string) *object { return newObject("type", "string", "description", about) }
	return s.refer(problemName, func() *object {
		return newObject("type", "object",
			"description", "The same error as RFC 9457 has it, for clients that accept application/problem+json.",
			"properties", newObject(
				"type", newObject("type", "string", "format", "uri-reference", "description", "What kind of problem it is: domain and reason of the ErrorInfo as a URN, or about:blank."),
				"title", text("The HTTP status in words."),
				"status", newObject("type", "integer", "minimum", 400, "maximum", 599, "description", "The HTTP status."),
				"detail", text("The message of the error."),
				"instance", newObject("type", "string", "format", "uri-reference", "description", "This occurrence: the correlation ID as a URN."),
				"code", newObject("type", "string", "description", "The google.rpc.Code, such as NOT_FOUND."),
				"reason", text("The reason of the ErrorInfo."),
				"domain", text("The domain of the ErrorInfo."),
				"metadata", newObject("type", "object", "description", "The metadata of the ErrorInfo.", "additionalProperties", newObject("type", "string")),
				"errors", newObject("type", "array", "description", "Which fields of the request are wrong.", "items", newObject("type", "object",
					"properties", newObject(
						"detail", text("What is wrong."),
						"pointer", text("Where in the body: a JSON pointer as a URI fragment."),
						"field", text("The field by its name in the .proto."),
						"reason", text("Why, for programs.")),
					"required", []string{"detail"})),
				"retry_after", newObject("type", "number", "minimum", 0, "description", "Seconds to wait before trying again."),
				"details", detailsSchema(s),
			),
			"required", []string{"type", "title", "status", "code"})
	})
}
