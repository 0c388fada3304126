package inproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// prefixLength is that of the prefix of each message: one byte that says
// whether it is compressed, four with its length.
const prefixLength = 5

var (
	errCompressed = errors.New("the server compressed a message within the process; it must compress only what a caller accepts")
	errTooLarge   = fmt.Errorf("a gRPC message has at most %d bytes", uint32(math.MaxUint32))
)

// frameHeader returns the prefix of a message.
func frameHeader(length int) [prefixLength]byte {
	var p [prefixLength]byte
	binary.BigEndian.PutUint32(p[1:], uint32(length)) //nolint:gosec // Send refuses longer ones
	return p
}

// deframer cuts what a server writes into messages.
type deframer struct {
	prefix  [prefixLength]byte
	have    int // bytes of the prefix
	message []byte
	missing int // bytes of the message
}

// next takes bytes up to the end of the message and returns the rest, and
// whether the message is complete; it is then the caller's.
func (d *deframer) next(p []byte) (message, rest []byte, done bool, err error) {
	if d.have < prefixLength {
		n := copy(d.prefix[d.have:], p)
		d.have, p = d.have+n, p[n:]
		if d.have < prefixLength {
			return nil, p, false, nil
		}
		if d.prefix[0] != 0 {
			return nil, nil, false, errCompressed
		}
		d.missing = int(binary.BigEndian.Uint32(d.prefix[1:]))
		d.message = make([]byte, 0, d.missing)
	}
	n := min(d.missing, len(p))
	d.message = append(d.message, p[:n]...)
	d.missing -= n
	if d.missing > 0 {
		return nil, p[n:], false, nil
	}
	message = d.message
	*d = deframer{}
	return message, p[n:], true, nil
}

// between tells whether no message was begun.
func (d *deframer) between() bool { return d.have == 0 }

// body is what a server reads.
type body interface {
	io.Reader
	io.Closer
}

// unaryBody is one message as a body, without a copy of it.
type unaryBody struct {
	prefix  [prefixLength]byte
	read    int
	message []byte
}

// Read implements io.Reader.
func (b *unaryBody) Read(p []byte) (int, error) {
	n := 0
	if b.read < prefixLength {
		n = copy(p, b.prefix[b.read:])
		b.read += n
	}
	m := copy(p[n:], b.message)
	b.message = b.message[m:]
	if n += m; n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (b *unaryBody) Close() error { return nil }
