package edge

import (
	"encoding/binary"
	"errors"
	"io"
	"net/http"

	"connectrpc.com/connect"

	"github.com/keelson-dev/keelson/errs"
)

// inner is the service as the transcoder sees it. gRPC reads a request and writes
// its answer in two goroutines, and the transcoder keeps what it knows of both in
// one place without a lock; here they take turns. Who waits for the client lets go
// of the turn.
func (e *Edge) inner(w http.ResponseWriter, r *http.Request) {
	x := exchangeBehind(w)
	if x == nil {
		http.Error(w, "the call did not come through the edge", http.StatusInternalServerError)
		return
	}
	out := &innerWriter{x: x, w: w, h: make(http.Header, 8)}
	in := &innerBody{ReadCloser: r.Body, x: x, plain: r.Header["Grpc-Encoding"] == nil}
	x.body.shared = true
	r.Body = in
	// A request of one message that is no JSON never gets to the service.
	if !x.decoded || in.begins() {
		e.service.ServeHTTP(out, r)
	}
	out.finish()
	x.body.shared = false
	x.observe(out.h)
}

// exchangeBehind finds the exchange that a writer writes to.
func exchangeBehind(w http.ResponseWriter) *exchange {
	for w != nil {
		switch v := w.(type) {
		case *exchange:
			return v
		case *textWriter:
			return v.exchange
		case interface{ Unwrap() http.ResponseWriter }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
	return nil
}

// innerWriter is the transcoder's writer for the goroutine of gRPC that writes. Its
// header is its own: the transcoder's may change while a request is read.
type innerWriter struct {
	x     *exchange
	w     http.ResponseWriter
	h     http.Header
	begun bool
	broke bool // what the service said cannot be passed on
}

// Header implements http.ResponseWriter.
func (i *innerWriter) Header() http.Header { return i.h }

// begin passes the header on. The caller has the turn.
func (i *innerWriter) begin() {
	if !i.begun {
		i.begun = true
		copyHeader(i.w.Header(), i.h)
	}
}

// WriteHeader implements http.ResponseWriter.
func (i *innerWriter) WriteHeader(code int) {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	i.begin()
	i.w.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (i *innerWriter) Write(p []byte) (n int, err error) {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	if i.broke { // the transcoder is still within a message that it cannot read
		return 0, errSpoilt
	}
	defer func() {
		var told *connect.Error // the transcoder has told the client
		switch {
		case errors.Is(err, errSpoilt):
			i.broke = true
			i.x.spoilt = errs.Internal(errs.ReasonInternal, "the answer of the service cannot be passed on").With(errs.Cause(i.x.spoilt))
		case errors.As(err, &told):
			i.broke, i.x.told = true, true
			i.x.spoilt = errs.Internal(errs.ReasonInternal, "%s", told.Message())
		}
	}()
	defer i.x.caught(&err)
	i.begin()
	return i.w.Write(p)
}

// Flush implements http.Flusher. The transcoder flushes each message by itself;
// what is left is a header that the handler sent before its first message.
func (i *innerWriter) Flush() {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	if i.begun && i.x.wrote {
		i.x.Flush()
	}
}

// finish passes the trailer on, or header and trailer when nothing was written. What
// is wrong with the request is the answer then, unless the service succeeded.
func (i *innerWriter) finish() {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	if spoilt := i.x.spoilt; spoilt != nil && (i.broke || i.h.Get("Grpc-Status") != "0") {
		i.x.refusal = refusedMalformed
		if spoilt.Reason() == ReasonRequestTooLarge {
			i.x.refusal = refusedSize
		}
		i.x.edge.metrics.refused(i.x.refusal)
		putStatus(i.h, errs.Status(spoilt, i.x.edge.domain, i.x.correlation[0]))
	}
	knowCode(i.h)
	to := i.w.Header()
	if !i.begun {
		copyHeader(to, i.h)
	}
	headerToCome := !i.begun || i.x.protocol == connectUnary
	if headerToCome {
		putRetryAfter(to, i.h)
	}
	copyTrailer(to, i.h, headerToCome)
}

// innerBody is the transcoder's body for the goroutine of gRPC that reads.
type innerBody struct {
	io.ReadCloser
	x      *exchange
	plain  bool   // no message may be compressed
	ahead  []byte // what was read before the service asked
	left   uint32 // of the message under way
	have   int    // bytes in prefix
	prefix [envelope]byte
}

// begins reads the beginning of the first message, which the transcoder decodes whole
// for that; false: it is not to be understood. Where there is none the service says
// so, but for Connect's unary calls, whose message is the body.
func (i *innerBody) begins() bool {
	first := make([]byte, envelope)
	n, err := i.Read(first)
	i.ahead = first[:n]
	if n == 0 && errors.Is(err, io.EOF) && i.x.protocol == connectUnary {
		i.x.spoil(malformed("the body is empty; the message without fields is {}"))
	}
	return i.x.spoilt == nil
}

// Read implements io.Reader.
func (i *innerBody) Read(p []byte) (n int, err error) {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	if len(i.ahead) > 0 {
		n = copy(p, i.ahead)
		i.ahead = i.ahead[n:]
		return n, nil
	}
	if i.x.spoilt != nil {
		return 0, errSpoilt
	}
	defer i.x.caught(&err)
	n, err = i.ReadCloser.Read(p)
	i.mend(p[:n])
	switch {
	case err == nil, n == 0 && errors.Is(err, io.EOF):
		return n, err
	case errors.Is(err, io.EOF): // the transcoder says so after each empty message, whatever follows
		return n, nil
	}
	i.x.broken(err)
	return n, errSpoilt
}

// mend corrects the messages in p: an empty one is never compressed, though the
// transcoder may say so, and gRPC would fail to decompress it. The transcoder writes
// each prefix at once.
func (i *innerBody) mend(p []byte) {
	for len(p) > 0 {
		if i.left > 0 {
			n := min(int64(len(p)), int64(i.left))
			p, i.left = p[n:], i.left-uint32(n) //nolint:gosec // it is at most left
			continue
		}
		n := copy(i.prefix[i.have:], p)
		if i.have += n; i.have < envelope {
			return
		}
		i.left = binary.BigEndian.Uint32(i.prefix[1:])
		if i.left == 0 && n == envelope && !i.plain {
			p[0] = 0
		}
		p, i.have = p[n:], 0
	}
}

// Close implements io.Closer. The client's body comes first, so that a reader that
// waits for it lets go.
func (i *innerBody) Close() error {
	_ = i.x.body.Close() // what counts is that it is closed
	return i.ReadCloser.Close()
}
