package edge

import (
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
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
	x.body.shared = true
	r.Body = &innerBody{ReadCloser: r.Body, x: x}
	e.service.ServeHTTP(out, r)
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
}

// Header implements http.ResponseWriter.
func (i *innerWriter) Header() http.Header { return i.h }

// begin passes the header on. The caller has the turn.
func (i *innerWriter) begin() {
	if !i.begun {
		i.begun = true
		maps.Copy(i.w.Header(), i.h)
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
func (i *innerWriter) Write(p []byte) (int, error) {
	i.x.state.Lock()
	defer i.x.state.Unlock()
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

// finish passes the trailer on, or header and trailer when nothing was written.
func (i *innerWriter) finish() {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	if !i.begun {
		maps.Copy(i.w.Header(), i.h)
		return
	}
	for k, v := range i.h {
		if strings.HasPrefix(k, http.TrailerPrefix) || strings.HasPrefix(k, "Grpc-") {
			i.w.Header()[k] = v
		}
	}
}

// innerBody is the transcoder's body for the goroutine of gRPC that reads.
type innerBody struct {
	io.ReadCloser
	x      *exchange
	told   bool
	left   uint32 // of the message under way
	have   int    // bytes in prefix
	prefix [envelope]byte
}

// oversize begins a message that no server takes. It stands for one that the edge
// did not take: the service answers, and accounts, as for a large message that came
// by gRPC.
const oversize = "\x00\xff\xff\xff\xff"

// Read implements io.Reader.
func (i *innerBody) Read(p []byte) (int, error) {
	i.x.state.Lock()
	defer i.x.state.Unlock()
	n, err := i.ReadCloser.Read(p)
	i.mend(p[:n])
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil // the transcoder says so after each empty message, whatever follows
	}
	if err != nil && n == 0 && !i.told && i.x.body.tooLarge.Load() {
		i.told = true
		return copy(p, oversize), nil
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
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
		if i.left == 0 && n == envelope {
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
