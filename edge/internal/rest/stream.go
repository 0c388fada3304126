package rest

import (
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/inproc"
)

// lastEventID is what a browser sends when it connects again (WHATWG HTML,
// 9.2.4, "The Last-Event-ID header").
const lastEventID = "Last-Event-Id"

// sink writes the messages of a stream in one of their forms.
type sink interface {
	// header returns the Content-Type, and what is written at once.
	header() (contentType, preamble string)
	// message returns a message as it is written.
	message(m protoreflect.Message) ([]byte, error)
	// end returns what is written last, however the stream ended.
	end(st *status.Status) []byte
	// heartbeat returns what is written when nothing happens; empty: nothing.
	heartbeat() string
}

// streamSink chooses the form of a server stream's answer; nil: none is
// acceptable.
func (x *exchange) streamSink() sink {
	if x.route.answersHTTPBody() {
		return nil
	}
	switch t := x.accept.best(typeEvents, typeNDJSON, typeJSONL); t {
	case typeEvents:
		return &eventSink{x}
	case typeNDJSON, typeJSONL:
		return &lineSink{x, t}
	}
	return nil
}

// stream makes the call of a server stream.
func (x *exchange) stream(c *inproc.Call) {
	out := x.streamSink()
	if out == nil && !x.route.answersHTTPBody() {
		x.fail(notAcceptable(typeEvents + " or " + typeNDJSON))
		return
	}
	m, f := x.request()
	if f == nil {
		f = x.goOn(m)
	}
	var raw []byte
	if f == nil {
		raw, f = x.marshal(m)
	}
	if f != nil {
		x.fail(f)
		return
	}
	if x.r.Method == http.MethodHead {
		x.head(out)
		return
	}
	s := c.Open(x.r.Context())
	defer s.Close()
	_ = s.Send(raw) // the stream says how it ended, if it has
	s.CloseSend()
	if out == nil {
		x.relayHTTPBody(s, func() (*status.Status, int) { return s.Status(), 0 })
		return
	}
	x.relay(s, out)
}

// marshal returns a request as bytes.
func (x *exchange) marshal(m protoreflect.Message) ([]byte, *fault) {
	raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m.Interface())
	if err != nil {
		return nil, broken("the request cannot be sent as %s", x.route.method.Input().FullName(), err)
	}
	return raw, nil
}

// head answers HEAD for a stream, which would never end: the header alone.
func (x *exchange) head(out sink) {
	if out != nil {
		contentType, _ := out.header()
		x.w.Header().Set("Content-Type", contentType)
	}
	x.w.Header().Set(correlationHeader, x.id)
	x.w.WriteHeader(http.StatusOK)
}

// goOn puts Last-Event-ID where the contract says that a stream goes on. It
// replaces what the URL says: a browser connects again with the URL it began with.
func (x *exchange) goOn(m protoreflect.Message) *fault {
	id := x.r.Header.Get(lastEventID)
	if id == "" || x.route.resume == nil {
		return nil
	}
	fd := x.route.resume.request
	v, err := parseScalar(fd, id)
	if err != nil {
		return invalid(string(fd.Name()), err.Error()+" (it came as Last-Event-ID)")
	}
	m.Set(fd, v)
	return nil
}

// relay writes what a server stream answers until it ends, or the client goes.
func (x *exchange) relay(s *inproc.Stream, out sink) {
	opening := time.NewTimer(x.rt.config.Opening)
	defer opening.Stop()
	var first []byte
	select {
	case first = <-s.Messages():
	case <-s.Done():
		if st := s.Status(); st.Code() != codes.OK {
			x.refuse(s, st, 0)
			return
		}
	case <-opening.C:
	case <-x.r.Context().Done():
		x.failWith(x.gone(), 0)
		return
	}
	w := x.open(s, out)
	if first != nil && !w.message(first) {
		return
	}
	beat := time.NewTimer(x.rt.config.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case raw := <-s.Messages():
			if !w.message(raw) {
				return
			}
		case <-s.Done():
			w.end(s.Status())
			return
		case <-beat.C:
			if text := out.heartbeat(); text != "" && !w.write([]byte(text)) {
				return
			}
		case <-x.r.Context().Done():
			w.end(x.gone())
			return
		}
		beat.Reset(x.rt.config.Heartbeat)
	}
}

// gone is the status of a request whose client is not there any more. It is told
// all the same: a client that has closed its half of the connection still listens.
func (x *exchange) gone() *status.Status { return x.status(&fault{err: x.r.Context().Err()}) }

// refuse answers a stream that failed before its first message like a call that is
// no stream.
func (x *exchange) refuse(s *inproc.Stream, st *status.Status, code int) {
	x.rt.copyHeaders(x.w.Header(), s.Header(), s.Trailer())
	x.correlate(s.Trailer())
	x.own = code != 0
	x.failWith(st, code)
}

// streamWriter writes a stream to its client, message by message.
type streamWriter struct {
	x    *exchange
	rc   *http.ResponseController
	sink sink
}

// open sends the header of a stream.
func (x *exchange) open(s *inproc.Stream, out sink) *streamWriter {
	h := x.w.Header()
	select {
	case <-s.HeaderSent():
		x.rt.copyHeaders(h, s.Header())
	default:
	}
	contentType, preamble := out.header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx and its kin hold nothing back
	h.Set(correlationHeader, x.id)
	x.w.WriteHeader(http.StatusOK)
	w := &streamWriter{x, http.NewResponseController(x.w), out}
	w.write([]byte(preamble))
	return w
}

// message writes one message as it came from the server. It returns false when
// the stream is over: the client is gone, or was told.
func (w *streamWriter) message(raw []byte) bool {
	line, f := w.x.encodeMessage(w.sink, raw)
	if f != nil {
		w.end(w.x.status(f))
		return false
	}
	return w.write(line)
}

// encodeMessage returns a message of the server in the form of a sink.
func (x *exchange) encodeMessage(out sink, raw []byte) ([]byte, *fault) {
	m, err := x.route.parse(raw)
	if err != nil {
		return nil, broken("a message does not parse as %s", x.route.method.Output().FullName(), err)
	}
	line, err := out.message(m)
	if err != nil {
		return nil, broken("a message %s has no JSON form", x.route.method.Output().FullName(), err)
	}
	return line, nil
}

func (w *streamWriter) end(st *status.Status) {
	w.x.code = st.Code()
	w.write(w.sink.end(st))
}

// write sends bytes at once. A client that does not read them in time is cut.
func (w *streamWriter) write(p []byte) bool {
	timeout := w.x.rt.config.WriteTimeout
	if timeout > 0 {
		_ = w.rc.SetWriteDeadline(time.Now().Add(timeout)) // a writer without deadlines is its maker's
	}
	if len(p) > 0 {
		if _, err := w.x.w.Write(p); err != nil { //nolint:gosec // G705: JSON or events, never HTML, and nosniff
			return false
		}
	}
	if w.rc.Flush() != nil {
		return false
	}
	if timeout > 0 { // HTTP/2 resets a stream at its deadline even if nothing is written
		_ = w.rc.SetWriteDeadline(time.Time{})
	}
	return true
}

// relayHTTPBody writes a stream of HttpBody as one body. Its type is that of the
// first message, so nothing is sent before that. When the stream fails in
// between the connection is broken off: it is the one way to say so. ended returns
// how it ended, and the HTTP status for that; zero: that of the code.
func (x *exchange) relayHTTPBody(s *inproc.Stream, ended func() (*status.Status, int)) {
	var w *streamWriter
	for {
		raw, err := s.Recv()
		if err != nil {
			break
		}
		m, err := x.route.parse(raw)
		if err != nil {
			x.breakOff(w, x.status(broken("a message does not parse as %s", x.route.method.Output().FullName(), err)))
			return
		}
		contentType, data := getHTTPBody(httpBodyOut(m, x.route.response))
		if w == nil {
			w = x.open(s, rawSink{contentType})
		}
		if !w.write(data) {
			return
		}
	}
	switch st, code := ended(); {
	case st.Code() != codes.OK && w == nil:
		x.refuse(s, st, code)
	case st.Code() != codes.OK:
		x.breakOff(w, st)
	case w == nil:
		x.open(s, rawSink{"application/octet-stream"})
	}
}

// breakOff ends a body that was begun and cannot be ended well.
func (x *exchange) breakOff(w *streamWriter, st *status.Status) {
	if w == nil {
		x.failWith(st, 0)
		return
	}
	x.code = st.Code()
	_ = w.rc.SetWriteDeadline(time.Unix(1, 0)) // its end can not be written any more
}

// rawSink has the header of a stream of HttpBody, which writes itself.
type rawSink struct{ contentType string }

func (s rawSink) header() (contentType, preamble string)     { return s.contentType, "" }
func (rawSink) message(protoreflect.Message) ([]byte, error) { return nil, nil }
func (rawSink) end(*status.Status) []byte                    { return nil }
func (rawSink) heartbeat() string                            { return "" }
