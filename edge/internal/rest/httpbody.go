package rest

import (
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Field numbers of google.api.HttpBody.
const (
	httpBodyType = 1
	httpBodyData = 2
)

// httpBodyIn returns the HttpBody that the whole body goes into, or nil.
func httpBodyIn(m protoreflect.Message, body protoreflect.FieldDescriptor) protoreflect.Message {
	switch {
	case body == nil && m.Descriptor().FullName() == httpBodyName:
		return m
	case isHTTPBody(body):
		return m.Mutable(body).Message()
	}
	return nil
}

func isHTTPBody(fd protoreflect.FieldDescriptor) bool {
	return fd != nil && !fd.IsList() && !fd.IsMap() && fd.Message() != nil && fd.Message().FullName() == httpBodyName
}

// takesHTTPBody tells whether the body is taken as it is.
func (r *route) takesHTTPBody() bool {
	return isHTTPBody(r.bodyField) || r.hasBody && r.bodyField == nil && r.in.Descriptor().FullName() == httpBodyName
}

// answersHTTPBody tells whether the answer is what the service says it is.
func (r *route) answersHTTPBody() bool {
	return isHTTPBody(r.response) || r.response == nil && r.out.Descriptor().FullName() == httpBodyName
}

// httpBodyOut returns the HttpBody of an answer, or nil.
func httpBodyOut(m protoreflect.Message, response protoreflect.FieldDescriptor) protoreflect.Message {
	switch {
	case response == nil && m.Descriptor().FullName() == httpBodyName:
		return m
	case isHTTPBody(response):
		return m.Get(response).Message()
	}
	return nil
}

func setHTTPBody(m protoreflect.Message, contentType string, data []byte) {
	fields := m.Descriptor().Fields()
	if contentType != "" {
		m.Set(fields.ByNumber(httpBodyType), protoreflect.ValueOfString(contentType))
	}
	m.Set(fields.ByNumber(httpBodyData), protoreflect.ValueOfBytes(data))
}

func getHTTPBody(m protoreflect.Message) (contentType string, data []byte) {
	fields := m.Descriptor().Fields()
	if contentType = m.Get(fields.ByNumber(httpBodyType)).String(); contentType == "" {
		contentType = "application/octet-stream" // and let nobody guess
	}
	return contentType, m.Get(fields.ByNumber(httpBodyData)).Bytes()
}
