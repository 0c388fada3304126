package edge_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// The types, flags and errors of HTTP/2's frames (RFC 9113, sections 6 and 7) that
// these tests make or look for.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway, frameWindow, frameContinuation = 0, 1, 3, 4, 7, 8, 9

	endStream, endHeaders = 1, 4

	errorRefusedStream, errorEnhanceYourCalm = 7, 11
)

// wire is a connection of HTTP/2 by hand: for what no client would send.
type wire struct {
	net.Conn
	in *bufio.Reader
}

// h2Frame is one frame.
type h2Frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

// code is the error that a RST_STREAM or GOAWAY has.
func (f h2Frame) code() uint32 {
	if f.kind == frameGoAway {
		return binary.BigEndian.Uint32(f.payload[4:])
	}
	return binary.BigEndian.Uint32(f.payload)
}

// speak begins HTTP/2 in plaintext. settings are pairs of identifier and value.
func speak(t *testing.T, address string, settings ...uint32) *wire {
	t.Helper()
	w := &wire{Conn: raw(t, address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")}
	w.in = bufio.NewReader(w.Conn)
	var payload []byte
	for i := 0; i < len(settings); i += 2 {
		payload = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(payload, uint16(settings[i])), settings[i+1]) //nolint:gosec // small
	}
	w.send(frameSettings, 0, 0, payload)
	return w
}

// send writes a frame and tells whether the other end still takes it.
func (w *wire) send(kind, flags byte, stream uint32, payload []byte) bool {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(payload))) //nolint:gosec // small
	head = binary.BigEndian.AppendUint32(append(head[1:], kind, flags), stream)
	_, err := w.Write(append(head, payload...))
	return err == nil
}

// next reads a frame.
func (w *wire) next() (f h2Frame, err error) {
	var head [9]byte
	if _, err = io.ReadFull(w.in, head[:]); err != nil {
		return f, err
	}
	f = h2Frame{head[3], head[4], binary.BigEndian.Uint32(head[5:]), make([]byte, binary.BigEndian.Uint32(append([]byte{0}, head[:3]...)))}
	_, err = io.ReadFull(w.in, f.payload)
	return f, err
}

// until reads to the first frame that is looked for.
func (w *wire) until(t *testing.T, what string, is func(h2Frame) bool) h2Frame {
	t.Helper()
	_ = w.SetReadDeadline(time.Now().Add(10 * time.Second)) // a connection that is closed needs none
	for {
		f, err := w.next()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if is(f) {
			return f
		}
	}
}

// ends reads to the end of the connection, which it must have, and returns what
// GOAWAY said.
func (w *wire) ends(t *testing.T) (code uint32, said bool) {
	t.Helper()
	_ = w.SetReadDeadline(time.Now().Add(10 * time.Second)) // as above
	for {
		f, err := w.next()
		if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // as it comes
			t.Fatal("the connection does not end")
		}
		if err != nil {
			return code, said
		}
		if f.kind == frameGoAway {
			code, said = f.code(), true
		}
	}
}

// fields are header fields without compression (RFC 7541, section 6.2.3).
func fields(pairs ...string) []byte {
	var b []byte
	text := func(s string) {
		n := len(s)
		if n < 127 {
			b = append(b, byte(n))
		} else {
			b = append(b, 127)
			for n -= 127; n >= 128; n >>= 7 {
				b = append(b, byte(n&127|128))
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	for i, s := range pairs {
		if i%2 == 0 {
			b = append(b, 0x10)
		}
		text(s)
	}
	return b
}

// post is the header of a request.
func post(path string, more ...string) []byte {
	return fields(slices.Concat([]string{":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", path}, more)...)
}
