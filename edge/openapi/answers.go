package openapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// takesIfMatch says whether the request, or the resource in its body, has an
// entity tag that If-Match can set, or whether a read can be compared with it.
func (b binding) takesIfMatch() bool {
	if b.method.IsStreamingClient() || b.method.IsStreamingServer() || b.creates() {
		return false
	}
	if b.reads() {
		return b.answersETag()
	}
	request := b.method.Input()
	if textField(request, etagField) != nil {
		return true
	}
	field := request.Fields().ByName(protoreflect.Name(b.body))
	return field != nil && field.Message() != nil && !field.IsList() && !field.IsMap() && textField(field.Message(), etagField) != nil
}

func (b binding) reads() bool { return b.verb == http.MethodGet }

// answersETag says whether the answer has an entity tag.
func (b binding) answersETag() bool {
	return !b.method.IsStreamingServer() && b.response == "" && textField(b.method.Output(), etagField) != nil
}

// answersNotModified says whether If-None-Match may be answered with 304.
func (b binding) answersNotModified() bool { return b.reads() && b.answersETag() }

// creates says whether the answer is 201 with the address of what was made.
func (b binding) creates() bool {
	return b.verb == http.MethodPost && strings.HasPrefix(string(b.method.Name()), "Create") &&
		!b.method.IsStreamingClient() && !b.method.IsStreamingServer() && b.method.Output().FullName() != operationName
}

// validates says whether a request may ask for the checks alone (AIP-163).
func (b binding) validates() bool {
	field := b.method.Input().Fields().ByName("validate_only")
	return field != nil && field.Kind() == protoreflect.BoolKind && !field.IsList()
}

// resumes says whether Last-Event-ID goes on with a broken stream.
func (b binding) resumes() bool {
	return b.method.IsStreamingServer() && !b.method.IsStreamingClient() && methodPolicy(b.method).GetResume() != nil
}

// responses describes the answers of a binding.
func (w *writer) responses(b binding, named bool) *object {
	made := &object{}
	succeeds := func(status int, more ...any) {
		headers := newObject("X-Correlation-Id", ref("headers", "correlationId")).merge(newObject(more...))
		if b.answersETag() {
			headers.set("ETag", ref("headers", "etag"))
		}
		made.set(strconv.Itoa(status), newObject("description", answered(b, status), "headers", headers, "content", w.answer(b)))
	}
	if !b.creates() || b.validates() {
		succeeds(http.StatusOK)
	}
	if b.creates() {
		succeeds(http.StatusCreated, "Location", ref("headers", "location"))
	}
	if b.answersNotModified() {
		made.set("304", ref("responses", "notModified"))
	}
	told := w.errorsOf(b, named)
	statuses := make([]int, 0, len(told))
	for status := range told {
		statuses = append(statuses, status)
	}
	slices.Sort(statuses)
	for _, status := range statuses {
		w.failures[status] = true
		made.set(strconv.Itoa(status), ref("responses", "error"+strconv.Itoa(status)).add("description", told[status]))
	}
	return made.set("default", ref("responses", "error"))
}

func answered(b binding, status int) string {
	about := comment(b.method.Output())
	switch {
	case b.method.IsStreamingServer():
		about = "Messages as they come. " + about
	case status == http.StatusCreated:
		about = "It was created. " + about
	case b.creates():
		about = "It would be created: `validateOnly` was set. " + about
	}
	if about == "" {
		return "It was done."
	}
	return strings.TrimSpace(about)
}

// answer describes the body of an answer that is no error.
func (w *writer) answer(b binding) *object {
	schema := w.schemas.message(b.method.Output(), output)
	whole := b.method.Output()
	if b.response != "" {
		field := fieldAt(b.method.Output(), b.response)
		schema, whole = w.schemas.value(field, output), field.Message()
	}
	if isHTTPBody(whole) {
		return newObject(mediaAny, newObject("schema", newObject("description", bytesText)))
	}
	lines := newObject("schema", newObject("type", "string", "description", linesText),
		"x-line-schema", newObject("anyOf", []any{schema, lastLine(w.schemas)}))
	switch {
	case b.method.IsStreamingClient():
		return newObject(mediaLines, lines)
	case b.method.IsStreamingServer():
		return newObject(mediaEvents, w.events(b, schema), mediaLines, lines)
	}
	return content(schema, mediaJSON)
}

// events describes server-sent events.
func (w *writer) events(b binding, schema *object) *object {
	text := eventsText
	if b.resumes() {
		text += " The ID of an event is the field `" + b.resumeField(b.method.Output(), methodPolicy(b.method).GetResume().GetResponseField()) +
			"`; a browser that connects again sends the last one as Last-Event-ID, and the stream goes on after it."
	}
	return newObject(
		"schema", newObject("type", "string", "description", text),
		"x-event-schema", schema,
		"x-events", newObject(
			"message", newObject("description", "A message of the stream.", "schema", schema),
			"end", newObject("description", "The stream is complete. The last event.", "schema", newObject("type", "object", "maxProperties", 0)),
			"error", newObject("description", "The stream broke. The last event.", "schema", statusSchema(w.schemas)),
		))
}

func (b binding) resumeField(m protoreflect.MessageDescriptor, name string) string {
	if field := m.Fields().ByName(protoreflect.Name(name)); field != nil {
		return field.JSONName()
	}
	return name
}

const (
	eventsText = "Server-sent events. An event `message` has a message of the stream as JSON in its data; `x-event-schema` is its schema. " +
		"The last event is always `end` (the stream is complete) or `error` (a google.rpc.Status): a stream without either was cut off. A line that begins with a colon says that the stream is alive."
	linesText = "A message of the stream as JSON on each line (NDJSON); `x-line-schema` is the schema of a line. " +
		"The last line is always `{\"status\": ...}`, a google.rpc.Status whose code is 0 when the stream is complete: a stream without it was cut off."
	bytesText = "What the service says it is, as it is: Content-Type names it (google.api.HttpBody)."
)

// refusals are the reasons for which the router itself finds a request wrong.
func (b binding) refusals() string {
	text := "INVALID_ARGUMENT INVALID_REQUEST"
	if b.body != "" {
		text += ", INVALID_JSON, UPLOAD_BROKEN"
	}
	if b.verb != http.MethodGet {
		text += ", PRECONDITION_UNSUPPORTED"
	}
	return text
}

// answersBytes says whether the answer is what the service says it is, which takes
// no heed of Accept.
func (b binding) answersBytes() bool {
	whole := b.method.Output()
	if b.response != "" {
		whole = fieldAt(whole, b.response).Message()
	}
	return isHTTPBody(whole)
}

// lastLine is the line that ends every stream.
func lastLine(s *schemas) *object {
	return newObject("type", "object", "properties", newObject("status", statusSchema(s)), "required", []string{"status"})
}

// errorsOf returns the HTTP statuses of a binding's errors, with the codes and
// reasons that lead to each.
func (w *writer) errorsOf(b binding, named bool) map[int]string {
	told := map[int][]string{}
	tell := func(status int, text string) {
		if !slices.Contains(told[status], text) {
			told[status] = append(told[status], text)
		}
	}
	for _, e := range documentedErrors(comment(b.method)) {
		status := httpStatus(e.code)
		text := e.code
		if e.reasons != "" {
			text += " " + strings.ReplaceAll(e.reasons, " ", ", ")
		}
		tell(status, text)
	}
	tell(http.StatusBadRequest, b.refusals())
	for _, code := range []string{"RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"} {
		tell(httpStatus(code), code)
	}
	tell(http.StatusInternalServerError, "RESOURCE_EXHAUSTED RESPONSE_TOO_LARGE")
	for _, own := range ownErrors {
		if (own.when != withBody || b.body != "") && (own.status != http.StatusNotAcceptable || !b.answersBytes()) {
			tell(own.status, own.code+" "+own.reason)
		}
	}
	if named {
		tell(http.StatusNotFound, "NOT_FOUND")
	}
	if b.takesIfMatch() {
		tell(http.StatusPreconditionFailed, "ABORTED: the entity tag of If-Match is not the current one")
	}
	if b.takesIfMatch() && !b.reads() {
		tell(http.StatusConflict, "ABORTED")
	}
	texts := map[int]string{}
	for status, all := range told {
		texts[status] = strings.Join(slices.DeleteFunc(all, func(text string) bool {
			return slices.ContainsFunc(all, func(longer string) bool { return strings.HasPrefix(longer, text+" ") })
		}), "; ") + "."
	}
	return texts
}
