package rest

import (
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// eventSink writes server-sent events (WHATWG HTML, 9.2).
type eventSink struct{ x *exchange }

func (s *eventSink) header() (contentType, preamble string) {
	return typeEvents, "retry: " + strconv.FormatInt(s.x.rt.config.Reconnect.Milliseconds(), 10) + "\n\n"
}

func (s *eventSink) message(m protoreflect.Message) ([]byte, error) {
	data, err := s.x.json(m)
	if err != nil {
		return nil, err
	}
	var id *string
	if r := s.x.route.resume; r != nil {
		text := textOf(r.answer, m.Get(r.answer))
		id = &text
	}
	return event("message", id, data), nil
}

func (s *eventSink) end(st *status.Status) []byte {
	if st.Code() == codes.OK {
		return event("end", nil, []byte("{}"))
	}
	var id *string
	if token, ok := errorInfo(st).GetMetadata()[errs.MetaResumeToken]; ok && s.x.route.resume != nil {
		id = &token
	}
	return event("error", id, s.x.encode().status(st))
}

func (s *eventSink) heartbeat() string { return ":\n\n" }

// event returns one event; data is one line. An ID that an event cannot carry is
// left out. An empty ID is written: it makes a browser forget the one before.
func event(name string, id *string, data []byte) []byte {
	b := make([]byte, 0, len(data)+64)
	if id != nil && !strings.ContainsAny(*id, "\r\n\x00") {
		b = append(append(append(b, "id: "...), *id...), '\n')
	}
	b = append(append(append(b, "event: "...), name...), "\ndata: "...)
	return append(append(b, data...), "\n\n"...)
}

// lineSink writes newline-delimited JSON: a line for each message, then always
// one line {"status": ...} with a google.rpc.Status, whose code is 0 when all
// went well. Without it the answer was cut off.
type lineSink struct {
	x   *exchange
	typ string
}

func (s *lineSink) header() (contentType, preamble string) { return s.typ, "" }

func (s *lineSink) message(m protoreflect.Message) ([]byte, error) {
	data, err := s.x.json(m)
	return append(data, '\n'), err
}

func (s *lineSink) end(st *status.Status) []byte {
	data := []byte(`{"code":0}`)
	if st.Code() != codes.OK {
		data = s.x.encode().status(st)
	}
	return append(append([]byte(`{"status":`), data...), "}\n"...)
}

func (s *lineSink) heartbeat() string { return "" }

// json returns a message of the answer, or the field of it that is the answer.
func (x *exchange) json(m protoreflect.Message) ([]byte, error) {
	if fd := x.route.response; fd != nil {
		return x.route.encode.field(m, fd)
	}
	return x.route.encode.message(m.Interface())
}
