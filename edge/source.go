package edge

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// source is the body of a request as net/http has it. It knows whether the
// connection stands behind the body when the exchange has ended: what is left of a
// body must never be taken for a request (RFC 9112, section 9.3).
type source struct {
	body   io.ReadCloser
	h2     bool
	waits  bool        // the client waits for a 100 (Continue) before it sends
	begun  atomic.Bool // a read was tried
	ended  atomic.Bool // the end was read
	failed atomic.Bool // a read ended otherwise; where in the body, nobody knows

	reading sync.Mutex // of HTTP/1
	closed  bool       // nobody behind the edge reads any more
}

func newSource(r *http.Request) *source {
	s := &source{body: r.Body, h2: r.ProtoMajor >= 2, waits: r.Header["Expect"] != nil}
	s.ended.Store(r.Body == http.NoBody)
	return s
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.h2 {
		return s.body.Read(p)
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	s.begun.Store(true)
	n, err := s.body.Read(p)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		s.ended.Store(true)
	default:
		s.failed.Store(true)
	}
	return n, err
}

// Close implements io.Closer. It waits for a reader. A body of HTTP/1 is not closed:
// net/http would read some of the rest, however long that takes, and does not tell
// whether it got to the end; settle reads it.
func (s *source) Close() error {
	if s.h2 {
		return s.body.Close() //nolint:wrapcheck // it stands for what it wraps
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
	return nil
}

// maxRest is how much of a body that nobody wanted is read, so that the client gets
// to the answer and the connection may be used again. net/http has the same.
const maxRest = 256 << 10

// settle reads what is left of the body of a request of HTTP/1, or sees to it that
// the connection is not used again. net/http would do the first before an answer
// begins, for as long as the client likes, and also with what a stream has yet to
// read: it is told that requests and answers go both ways at once.
func (x *exchange) settle() {
	s, rc := x.source, http.NewResponseController(x.w)
	if x.h2 || x.settled || s.ended.Load() {
		return
	}
	x.settled = true
	if s.waits && !s.begun.Load() || s.failed.Load() {
		// net/http reads on after the answer, where nothing comes.
		_ = rc.SetReadDeadline(past) // a writer without deadlines is a test's
		x.partWays()
		return
	}
	_ = rc.SetReadDeadline(x.limit()) // as above
	s.drop()
	if !s.ended.Load() {
		x.partWays()
		return
	}
	_ = rc.SetReadDeadline(time.Time{}) // as above; who answers for long still hears the client go
}

// drop reads what is left, up to maxRest.
func (s *source) drop() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.closed = true
	_, err := io.CopyN(io.Discard, s.body, maxRest)
	s.ended.Store(errors.Is(err, io.EOF))
}

// partWays makes net/http close the connection after the answer, which says so if it
// has not begun. Reading beyond the limit of http.MaxBytesReader is net/http's way
// to be told, and the only one once an answer has begun.
func (x *exchange) partWays() {
	w := x.w
	for {
		outer, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = outer.Unwrap()
	}
	if !x.wrote || w.Header()["Connection"] == nil {
		w.Header()["Connection"] = closeConnection
	}
	tooMuch := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("xx")), 1)
	_, _ = io.Copy(io.Discard, tooMuch) // the error is what it is for
}
