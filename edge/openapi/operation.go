package openapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// binding is one way in which a method is reached over REST.
type binding struct {
	method   protoreflect.MethodDescriptor
	id       string
	verb     string
	template template
	body     string // "", "*", or a field of the request
	response string // a field of the answer, "" for all of it
}

// errNested is what google/api/http.proto forbids.
var errNested = errors.New("additional_bindings within additional_bindings; only one level is allowed")

// bindings returns the ways to a method. Those that cannot be described are in
// the error.
func bindings(m protoreflect.MethodDescriptor) ([]binding, error) {
	first := httpRule(m)
	if first == nil {
		return nil, nil
	}
	var found []binding
	var faults []error
	for i, rule := range append([]*annotations.HttpRule{first}, first.GetAdditionalBindings()...) {
		b, err := newBinding(m, rule)
		if err == nil && i > 0 && len(rule.GetAdditionalBindings()) > 0 {
			err = errNested
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("describe %s, binding %d: %w", m.FullName(), i+1, err))
			continue
		}
		b.id = string(m.FullName())
		if i > 0 {
			b.id += "-" + strconv.Itoa(i+1)
		}
		found = append(found, b)
	}
	return found, errors.Join(faults...)
}

func newBinding(m protoreflect.MethodDescriptor, rule *annotations.HttpRule) (binding, error) {
	b := binding{method: m, body: rule.GetBody(), response: rule.GetResponseBody()}
	var path string
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		b.verb, path = http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		b.verb, path = http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		b.verb, path = http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		b.verb, path = http.MethodDelete, p.Delete
	case *annotations.HttpRule_Patch:
		b.verb, path = http.MethodPatch, p.Patch
	case *annotations.HttpRule_Custom:
		b.verb, path = p.Custom.GetKind(), p.Custom.GetPath()
	}
	if !slices.Contains([]string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}, b.verb) {
		return b, fmt.Errorf("OpenAPI has no place for the HTTP method %q; use one of GET, PUT, POST, DELETE, PATCH, HEAD, OPTIONS and TRACE, in capitals", b.verb)
	}
	var err error
	if b.template, err = parseTemplate(path); err != nil {
		return b, err
	}
	return b, b.check()
}

// check says what is wrong with the fields that a binding names.
func (b binding) check() error {
	request, answer := b.method.Input(), b.method.Output()
	for _, v := range b.template.variables {
		field := fieldAt(request, v.field)
		if field == nil {
			return fmt.Errorf("the path names the field %q, which %s does not have", v.field, request.FullName())
		}
		if field.Message() != nil || field.Cardinality() == protoreflect.Repeated {
			return fmt.Errorf("the path names the field %q of %s; a path holds one scalar, and this is a message or a list", v.field, request.FullName())
		}
	}
	if b.body != "" && b.body != "*" && request.Fields().ByName(protoreflect.Name(b.body)) == nil {
		return fmt.Errorf("the body is the field %q, which %s does not have", b.body, request.FullName())
	}
	if b.body == "" && b.method.IsStreamingClient() {
		return errors.New(`a method whose client streams has no body; set it to "*"`)
	}
	if b.response != "" && answer.Fields().ByName(protoreflect.Name(b.response)) == nil {
		return fmt.Errorf("the response body is the field %q, which %s does not have", b.response, answer.FullName())
	}
	return nil
}

// pathFields returns the fields that the path sets.
func (b binding) pathFields() []string {
	var fields []string
	for _, v := range b.template.variables {
		fields = append(fields, v.field)
	}
	return fields
}

// operation describes a binding.
func (w *writer) operation(b binding, wildcards []pathParameter) *object {
	text := comment(b.method)
	made := newObject(
		"tags", []string{string(b.method.Parent().FullName())},
		"summary", firstSentence(text),
		"description", text,
		"operationId", b.id,
		"deprecated", methodDeprecated(b.method),
		"parameters", w.parameters(b, wildcards),
		"requestBody", w.requestBody(b),
	)
	made.set("responses", w.responses(b, len(wildcards) > 0))
	made.add("x-grpc-method", "/"+string(b.method.Parent().FullName())+"/"+string(b.method.Name()))
	made.add("x-grpc-streaming", streaming(b.method))
	if o, ok := b.method.Options().(*descriptorpb.MethodOptions); ok && o.IdempotencyLevel != nil {
		made.add("x-idempotency-level", o.GetIdempotencyLevel().String())
	}
	return made
}

func (w *writer) parameters(b binding, wildcards []pathParameter) []any {
	var all []any
	for _, p := range wildcards {
		all = append(all, w.schemas.pathParameterObject(p))
	}
	if b.body != "*" {
		bound := b.pathFields()
		if b.body != "" {
			bound = append(bound, b.body)
		}
		all = append(all, w.schemas.query(b.method.Input(), bound)...)
	}
	for _, header := range w.requestHeaders(b) {
		all = append(all, ref("parameters", header))
	}
	return all
}

// requestHeaders returns the names of the header parameters that hold.
func (w *writer) requestHeaders(b binding) []string {
	headers := []string{"correlationId", "serverTimeout"}
	if b.takesIfMatch() {
		headers = append(headers, "ifMatch")
	}
	if b.answersNotModified() {
		headers = append(headers, "ifNoneMatch")
	}
	if b.resumes() {
		headers = append(headers, "lastEventId")
	}
	return headers
}

// requestBody describes what is sent; nil for nothing.
func (w *writer) requestBody(b binding) *object {
	f := input
	if b.verb == http.MethodPatch {
		f = patch
	}
	whole := b.method.Input()
	if b.body != "" && b.body != "*" {
		whole = fieldAt(whole, b.body).Message()
	}
	switch {
	case b.body != "" && isHTTPBody(whole):
		return newObject("content", newObject(mediaAny, newObject("schema", newObject("description", "Bytes, as they are; Content-Type goes with them (google.api.HttpBody)."))))
	case b.method.IsStreamingClient():
		lines := w.bodyObject(b.method.Input(), f, b.pathFields())
		if b.body != "*" {
			lines = w.schemas.value(fieldAt(b.method.Input(), b.body), f)
		}
		return newObject("required", true,
			"description", "One JSON object on each line; answers come while the lines are sent.",
			"content", newObject(mediaLines, newObject(
				"schema", newObject("type", "string", "description", "JSON objects, each on a line of its own (NDJSON)."),
				"x-line-schema", lines)))
	case b.body == "":
		return nil
	case b.body == "*":
		schema := w.bodyObject(b.method.Input(), f, b.pathFields())
		return newObject("required", w.requires(b.method.Input(), f, b.pathFields()), "content", content(schema, mediaJSON))
	}
	field := fieldAt(b.method.Input(), b.body)
	bound, _ := boundBelow(b.pathFields(), b.body)
	about := comment(field)
	if mask := b.method.Input().Fields().ByName("update_mask"); b.verb == http.MethodPatch && mask != nil {
		about = strings.TrimSpace(about + "\n\nWithout `" + queryName(mask) + "` what is in the body is changed, and nothing else.")
	}
	return newObject("description", about, "required", w.schemas.optionsOf(field).required(f),
		"content", content(w.bodyField(field, f, bound), mediaJSON))
}

// bodyObject is the schema of a request without the fields that its path sets.
func (w *writer) bodyObject(m protoreflect.MessageDescriptor, f form, bound []string) *object {
	if len(bound) == 0 || isWellKnown(m) {
		return w.schemas.message(m, f)
	}
	return w.schemas.object(m, f, bound)
}

// bodyField is the schema of a body that is a field. What the path sets below it
// may be left out of the body, and is not worth a schema of its own unless the
// field would have to be there.
func (w *writer) bodyField(field protoreflect.FieldDescriptor, f form, bound []string) *object {
	if len(bound) == 0 || field.Message() == nil || field.IsList() || field.IsMap() || !w.requires(field.Message(), f, nil, bound...) {
		return w.schemas.value(field, f)
	}
	return w.schemas.object(field.Message(), f, bound)
}

// requires says whether a message has a field that must be there: one that is
// not bound, and one of those that are named when any are.
func (w *writer) requires(m protoreflect.MessageDescriptor, f form, bound []string, named ...string) bool {
	for i := range m.Fields().Len() {
		field := m.Fields().Get(i)
		name := string(field.Name())
		if len(named) > 0 && !slices.Contains(named, name) || slices.Contains(bound, name) {
			continue
		}
		if w.schemas.optionsOf(field).required(f) {
			return true
		}
	}
	return false
}

func streaming(m protoreflect.MethodDescriptor) string {
	switch {
	case m.IsStreamingClient() && m.IsStreamingServer():
		return "both ways"
	case m.IsStreamingClient():
		return "client"
	case m.IsStreamingServer():
		return "server"
	}
	return ""
}

func methodDeprecated(m protoreflect.MethodDescriptor) bool {
	o, ok := m.Options().(*descriptorpb.MethodOptions)
	return ok && o.GetDeprecated()
}

// content gives one schema to several media types.
func content(schema *object, media ...string) *object {
	made := &object{}
	for _, m := range media {
		made.set(m, newObject("schema", schema))
	}
	return made
}
