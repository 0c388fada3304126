package openapi

import "strconv"

// components are the parts that operations share.
func (w *writer) components() *object {
	responses := w.sharedResponses()
	w.schemas.finish()
	schemas := &object{}
	for name, schema := range w.schemas.named {
		schemas.set(name, schema)
	}
	return newObject(
		"schemas", schemas.sort(),
		"responses", responses,
		"parameters", sharedParameters(),
		"headers", sharedHeaders(),
		"securitySchemes", w.securitySchemes())
}

func (w *writer) sharedResponses() *object {
	made := newObject("error", w.failure(0, "Any other error."))
	made.set("notModified", newObject(
		"description", "The resource is the one that If-None-Match names.",
		"headers", newObject("X-Correlation-Id", ref("headers", "correlationId"), "ETag", ref("headers", "etag"))))
	for status := range w.failures {
		made.set("error"+strconv.Itoa(status), w.failure(status, meaning(status)))
	}
	return made.sort()
}

// failure is an answer that is an error.
func (w *writer) failure(status int, text string) *object {
	headers := newObject("X-Correlation-Id", ref("headers", "correlationId"))
	headers.set("Retry-After", ref("headers", "retryAfter"))
	if status == 0 || status == 429 {
		headers.set("RateLimit", ref("headers", "rateLimit")).set("RateLimit-Policy", ref("headers", "rateLimitPolicy"))
	}
	if status == 415 {
		headers.set("Accept", ref("headers", "accept")).set("Accept-Encoding", ref("headers", "acceptEncoding"))
	}
	return newObject("description", text, "headers", headers,
		"content", content(statusSchema(w.schemas), mediaJSON).merge(content(problemSchema(w.schemas), mediaProblem)))
}

func sharedParameters() *object {
	header := func(name, text string, schema *object) *object {
		return newObject("name", name, "in", "header", "description", text, "schema", schema)
	}
	return newObject(
		"correlationId", header("X-Correlation-Id", "An ID by which the call is found in logs and traces; the server makes one otherwise.", newObject("type", "string", "maxLength", 128)),
		"serverTimeout", header("X-Server-Timeout", "Seconds that the call may take, such as 2.5; the method's own bound holds too.", newObject("type", "number", "exclusiveMinimum", 0)),
		"ifMatch", header("If-Match", "The entity tag that the resource must still have, quotes included; otherwise the answer is 412 and nothing is changed.", newObject("type", "string")),
		"ifNoneMatch", header("If-None-Match", "Entity tags that the client has already; the answer is 304 when the resource still has one of them.", newObject("type", "string")),
		"lastEventId", header("Last-Event-ID", "The ID of the last event that came: the stream goes on after it. Browsers send it by themselves.", newObject("type", "string")))
}

func sharedHeaders() *object {
	header := func(text string, schema *object) *object { return newObject("description", text, "schema", schema) }
	return newObject(
		"accept", header("The types of body that are read; there when the body was of another (RFC 9110, 12.5.1).", newObject("type", "string")),
		"acceptEncoding", header("The encodings of a body that are read; there when it had another (RFC 9110, 12.5.3).", newObject("type", "string")),
		"correlationId", header("The ID of the call, to find it in logs and traces.", newObject("type", "string")),
		"etag", header("The entity tag of the resource (RFC 9110, 8.8.3).", newObject("type", "string", "pattern", `^(W/)?"[^"]*"$`)),
		"location", header("The path of what was created.", newObject("type", "string", "format", "uri-reference")),
		"retryAfter", header("Whole seconds to wait before trying again; there when the error has a RetryInfo.", newObject("type", "integer", "minimum", 0)),
		"rateLimit", header("What is left of the quota (draft-ietf-httpapi-ratelimit-headers).", newObject("type", "string")),
		"rateLimitPolicy", header("What the quota is (draft-ietf-httpapi-ratelimit-headers).", newObject("type", "string")))
}

func (w *writer) securitySchemes() *object {
	made := &object{}
	for _, s := range w.options.security {
		scheme := newObject("type", s.kind, "in", s.where, "name", s.key)
		if s.kind == "http" {
			scheme.add("scheme", "bearer").add("bearerFormat", s.bearer)
		}
		made.set(s.name, scheme)
	}
	return made
}
