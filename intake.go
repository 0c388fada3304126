package keelson

import (
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"sync"
)

// intakeWindow is how many bytes of a request gRPC may read before its handler
// asks for them: what HTTP/2 grants a stream by default (RFC 9113, 6.9.2).
const intakeWindow = 64 << 10

// intake is the body of a call that came by net/http. gRPC reads such a body as
// fast as it comes and keeps what nobody has asked for, without a bound. intake
// lets it read no further ahead of the handler than a window, so that a client
// that sends faster than it is served waits, as with gRPC's own transport.
type intake struct {
	io.ReadCloser

	mu     sync.Mutex
	change sync.Cond
	wanted int   // receives that wait for a message
	ahead  int64 // bytes that were read and not received
	sizes  []int64
	closed bool

	prefix [5]byte // of the message under way
	have   int     // bytes of prefix
	left   int64   // bytes of the message
	size   int64   // bytes of both so far
}

type intakeKey struct{}

// throughIntake returns a request whose body is read only as it is asked for.
func throughIntake(r *http.Request) *http.Request {
	in := &intake{ReadCloser: r.Body}
	in.change.L = &in.mu
	r = r.WithContext(context.WithValue(r.Context(), intakeKey{}, in))
	r.Body = in
	return r
}

// Read implements io.Reader.
func (in *intake) Read(p []byte) (int, error) {
	in.mu.Lock()
	// A message larger than the window is read to its end when it is asked for,
	// and beyond it to the next one's: where one message is all there may be, gRPC
	// gives it to nobody before it has seen the end of the body.
	for !in.closed && in.ahead >= intakeWindow && (in.wanted == 0 || len(in.sizes) > 1) {
		in.change.Wait()
	}
	closed := in.closed
	in.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := in.ReadCloser.Read(p)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ahead += int64(n)
	in.count(p[:n])
	return n, err
}

// Close implements io.Closer, and ends a Read that waits.
func (in *intake) Close() error {
	in.mu.Lock()
	in.closed = true
	in.change.Broadcast()
	in.mu.Unlock()
	return in.ReadCloser.Close()
}

// count finds where messages end.
func (in *intake) count(p []byte) {
	for len(p) > 0 {
		if in.have < len(in.prefix) {
			n := copy(in.prefix[in.have:], p)
			in.have, in.size, p = in.have+n, in.size+int64(n), p[n:]
			if in.have < len(in.prefix) {
				return
			}
			in.left = int64(binary.BigEndian.Uint32(in.prefix[1:]))
		}
		n := min(in.left, int64(len(p)))
		in.left, in.size, p = in.left-n, in.size+n, p[n:]
		if in.left == 0 {
			in.sizes = append(in.sizes, in.size)
			in.have, in.size = 0, 0
		}
	}
}

// want says that a message is asked for, or is not any more.
func (in *intake) want(n int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wanted += n
	in.change.Broadcast()
}

// took says that the next message was received.
func (in *intake) took() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.sizes) > 0 {
		in.ahead -= in.sizes[0]
		in.sizes = in.sizes[1:]
		in.change.Broadcast()
	}
}
