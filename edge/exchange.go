package edge

import (
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/errs"
)

// piece is how much is written at once: each has the whole write_timeout.
const piece = 64 << 10

// exchange is one request and its answer. It is the writer that everybody behind
// the edge writes to: it adds what every answer has, and counts.
type exchange struct {
	edge     *Edge
	w        http.ResponseWriter
	r        *http.Request
	start    time.Time
	protocol protocol
	method   protoreflect.MethodDescriptor // nil: not known, or none
	h2       bool
	// correlation is the request's ID as a header value.
	correlation []string
	body        *body
	source      *source
	guard       guard
	decoded     bool // the one message of the request is JSON
	duplex      bool // the request may be read while it is answered
	settled     bool // nothing more is read of the request
	// state keeps the transcoder's two halves apart, see inner.
	state  sync.Mutex
	spoilt *errs.Error // what is wrong with what the client sent
	told   bool        // the transcoder has told the client that it cannot pass the answer on

	wrote     bool // the header
	unflushed bool
	status    int
	code      codes.Code // of gRPC, once known
	coded     bool
	sent      int64
	refusal   string // why the edge answered by itself
}

// begin makes the exchange of a request.
func (e *Edge) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{edge: e, w: w, r: r, start: time.Now(), h2: r.ProtoMajor >= 2}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	x.source = newSource(r)
	x.body = &body{ReadCloser: x.source, x: x}
	r.Body = x.body
	if !x.h2 && !x.source.ended.Load() {
		_ = http.NewResponseController(w).EnableFullDuplex() // see settle; a writer that cannot is a test's
	}
	x.guard.start(x)
	return x
}

// now is the time since the exchange began, and never 0.
func (x *exchange) now() int64 { return int64(time.Since(x.start)) | 1 }

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.w.Header() }

// Unwrap implements what [http.ResponseController] looks for.
func (x *exchange) Unwrap() http.ResponseWriter { return x.w }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(code int) {
	if x.wrote {
		return
	}
	if code >= http.StatusOK { // others are hints before the answer
		x.wrote, x.status = true, code
	}
	if code >= http.StatusOK && !x.h2 && x.source.failed.Load() {
		x.partWays()
	}
	mergeVary(x.w.Header())
	// A server of HTTP/1.0 knows no chunks, and net/http would take for a request
	// what a client sends in them all the same (RFC 9112, section 6.1).
	if x.edge.leaving.Load() || !x.r.ProtoAtLeast(1, 1) {
		x.w.Header()["Connection"] = closeConnection
	}
	x.w.WriteHeader(code)
}

// EnableFullDuplex implements what [http.ResponseController] looks for.
func (x *exchange) EnableFullDuplex() error {
	x.duplex = true
	return nil
}

// buffered is how much of an answer net/http holds before it sends the header.
const buffered = 2 << 10

// opens is told before the answer begins to be sent: nobody reads the request then,
// unless it goes both ways, and a client that still sends it does not read.
func (x *exchange) opens() {
	if !x.duplex {
		x.settle()
	}
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if !x.wrote {
		x.WriteHeader(http.StatusOK)
	}
	written := 0
	for {
		part := p[written:min(len(p), written+piece)]
		if x.sent+int64(len(part)) > buffered {
			x.opens()
		}
		x.guard.writing.Store(x.now() + int64(x.edge.cfg.WriteTimeout))
		n, err := x.w.Write(part) //nolint:gosec // G705: each answer says its type, and nosniff
		x.guard.writing.Store(0)
		written += n
		x.sent += int64(n)
		x.unflushed = true
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// Flush implements http.Flusher.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError implements what [http.ResponseController] looks for.
func (x *exchange) FlushError() error {
	if !x.wrote {
		x.WriteHeader(http.StatusOK)
	}
	x.opens()
	x.guard.writing.Store(x.now() + int64(x.edge.cfg.WriteTimeout))
	err := http.NewResponseController(x.w).Flush()
	x.guard.writing.Store(0)
	x.unflushed = false
	return err
}

// end accounts for the exchange, and bounds what net/http does after it.
func (x *exchange) end() {
	x.guard.stop()
	x.settle()
	if x.unflushed { // last: settling takes time
		_ = http.NewResponseController(x.w).SetWriteDeadline(x.limit()) // a writer without deadlines is a test's
	}
	x.edge.account(x)
}

// limit is until when what is left may take.
func (x *exchange) limit() time.Time { return time.Now().Add(x.edge.cfg.WriteTimeout) }

// observe takes the code of the call from gRPC's answer, once it is complete.
func (x *exchange) observe(h http.Header) {
	v := h["Grpc-Status"]
	if len(v) == 0 {
		return
	}
	x.code, _ = codeIn(v[0])
	x.coded = true
}

// codeIn reads grpc-status; what gRPC does not have is UNKNOWN, as its clients take it.
func codeIn(text string) (code codes.Code, known bool) {
	n := 0
	for i := range len(text) {
		n = n*10 + int(text[i]-'0')
	}
	if len(text) > 2 || n < 0 || n >= len(codeNames) {
		return codes.Unknown, false
	}
	return codes.Code(n), true
}

// closeConnection is shared by all answers of an instance that leaves.
var closeConnection = []string{"close"}
