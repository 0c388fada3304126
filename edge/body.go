package edge

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/keelson-dev/keelson/errs"
)

// readPace is how many bytes of a message must come in a second, beyond the first
// read_timeout.
const readPace = 1 << 10

// envelope is the length of the prefix of a message: flags and size.
const envelope = 5

// framing is how the messages of a body are told apart.
type framing uint8

const (
	whole    framing = iota // the body is one message
	prefixed                // each has a prefix of five bytes
	lines                   // each is a line
)

// body is the body of a request: it bounds what is one message, notices a client
// that sends too slowly, and refuses frames that are none before anybody else sees
// them. Between the messages of a stream a client may take its time.
type body struct {
	io.ReadCloser
	x       *exchange
	framing framing
	limit   int64 // bytes of one message; 0: somebody else looks
	gather  bool  // messages are passed on only when they are there whole
	shared  bool  // readers hold the exchange's state
	plain   bool  // nothing was said of compression

	head     [envelope]byte
	have     int   // bytes in head
	left     int64 // of the message under way
	got      int64 // of the message under way
	began    int64 // when it began, in the exchange's time; 0: none is under way
	gathered bytes.Buffer
	ready    bool // gathered holds a message, or the rest of one
	err      error
	wrong    *errs.Error // why what came is no message

	total    atomic.Int64
	reading  atomic.Bool
	closing  atomic.Bool
	tooLarge atomic.Bool
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if !b.gather {
		return b.read(p)
	}
	for !b.ready {
		if b.err != nil {
			return 0, b.err
		}
		n, _ := b.read(p) // kept in b.err
		b.gathered.Write(p[:n])
		b.ready = n > 0 && b.have == 0 && b.left == 0
	}
	n, _ := b.gathered.Read(p) // there is a message
	b.ready = b.gathered.Len() > 0
	return n, nil
}

// read reads once, under watch.
func (b *body) read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.gather { // no further than to the end of the message
		p = p[:min(int64(len(p)), b.next())]
	}
	if b.framing == whole && b.began == 0 {
		b.began = b.x.now()
	}
	if b.began != 0 {
		pace := time.Duration(b.got) * time.Second / readPace
		b.x.guard.reading.Store(b.began + int64(b.x.edge.cfg.ReadTimeout+pace))
	}
	n, err := b.wait(p)
	b.x.guard.reading.Store(0)
	b.total.Add(int64(n))
	n, bad := b.advance(p[:n])
	if bad != nil {
		err = bad
	}
	if err != nil {
		b.err = b.explain(err)
	}
	return n, b.err
}

// wait reads from the client. A transcoder that calls it lets go of its state
// meanwhile.
func (b *body) wait(p []byte) (int, error) {
	if b.shared {
		b.x.state.Unlock()
		defer b.x.state.Lock()
	}
	b.reading.Store(true)
	defer b.reading.Store(false)
	if b.closing.Load() { // after reading was set: Close sees that, or this sees Close
		return 0, http.ErrBodyReadAfterClose
	}
	return b.ReadCloser.Read(p)
}

// next is how many bytes are wanted of the prefix or the message under way.
func (b *body) next() int64 {
	if b.left > 0 {
		return b.left
	}
	return int64(envelope - b.have)
}

// explain is the error that readers see.
func (b *body) explain(err error) error {
	if errors.Is(err, io.EOF) {
		if b.framing == prefixed && (b.have > 0 || b.left > 0) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if b.x.guard.slowRead.Load() {
		return errSlow
	}
	return err
}

// errSlow ends the body of a client that sends too slowly.
var errSlow = fmt.Errorf("the request came in too slowly: %w", os.ErrDeadlineExceeded)

// advance follows the messages through what was read, and returns how much of it
// is right.
func (b *body) advance(p []byte) (int, error) {
	switch b.framing {
	case prefixed:
		return b.advanceFrames(p)
	case lines:
		b.advanceLines(p)
		return len(p), nil
	default:
		b.got += int64(len(p))
		if b.limit > 0 && b.got > b.limit {
			b.tooLarge.Store(true)
			return len(p) - int(min(int64(len(p)), b.got-b.limit)), &http.MaxBytesError{Limit: b.limit}
		}
		return len(p), nil
	}
}

func (b *body) advanceLines(p []byte) {
	last := bytes.LastIndexByte(p, '\n')
	switch {
	case len(p) == 0:
	case last == len(p)-1:
		b.began, b.got = 0, 0
	case last >= 0 || b.began == 0:
		b.began, b.got = b.x.now(), int64(len(p)-last-1)
	default:
		b.got += int64(len(p))
	}
}

func (b *body) advanceFrames(p []byte) (int, error) {
	for i := 0; i < len(p); {
		if b.left > 0 {
			n := min(int64(len(p)-i), b.left)
			i, b.left, b.got = i+int(n), b.left-n, b.got+n
			if b.left == 0 {
				b.began = 0
			}
			continue
		}
		if b.have == 0 && (b.began == 0 || b.got > 0) {
			b.began, b.got = b.x.now(), 0
		}
		n := copy(b.head[b.have:], p[i:])
		i, b.have, b.got = i+n, b.have+n, b.got+int64(n)
		if b.have < envelope {
			return i, nil
		}
		if err := b.prefix(); err != nil {
			return i - n, err
		}
	}
	return len(p), nil
}

// prefix looks at a whole prefix.
func (b *body) prefix() error {
	b.have = 0
	b.left = int64(binary.BigEndian.Uint32(b.head[1:]))
	if b.left == 0 {
		b.began = 0
	}
	switch {
	case b.head[0] > 1:
		b.wrong = malformed("a message begins with the flags %d; they are 0, or 1 where it is compressed", b.head[0])
		return io.ErrUnexpectedEOF
	case b.head[0] == 1 && b.plain: // INTERNAL, as gRPC's compression.md has it
		b.wrong = errs.Internal(ReasonMalformedMessage, "a message is compressed, and the header of the request does not say with what")
		return io.ErrUnexpectedEOF
	}
	if b.limit > 0 && b.left > b.limit {
		b.tooLarge.Store(true)
		return &http.MaxBytesError{Limit: b.limit}
	}
	return nil
}

// Close implements io.Closer: it lets go of a reader that waits.
func (b *body) Close() error {
	b.closing.Store(true)
	if b.reading.Load() && !b.x.h2 {
		b.x.guard.cutRead() // net/http's own Close would wait for the reader
	}
	return b.ReadCloser.Close()
}
