package edge

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// textReader decodes the body of a gRPC-Web request in text: base64, in one piece
// or as pieces that are padded each by itself, so that padding may stand anywhere
// (PROTOCOL-WEB.md of gRPC). Line breaks are skipped; padding at the very end may be
// missing.
type textReader struct {
	io.ReadCloser
	in   []byte // what was read last
	quad [4]byte
	have int    // characters in quad
	pads int    // how many of them are padding
	room []byte // for out
	out  []byte // decoded and not yet taken
	err  error  // after out
}

func newTextReader(r io.ReadCloser) *textReader {
	return &textReader{ReadCloser: r, in: make([]byte, 4<<10), room: make([]byte, 0, 3<<10+3)}
}

// Read implements io.Reader.
func (t *textReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(t.out) == 0 && t.err == nil {
		n, err := t.ReadCloser.Read(t.in)
		t.out, t.err = t.decode(t.room[:0], t.in[:n])
		if t.err == nil && err != nil {
			t.err = t.last(err)
		}
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	if n > 0 {
		return n, nil
	}
	return 0, t.err
}

// decode appends what characters stand for.
func (t *textReader) decode(out, in []byte) ([]byte, error) {
	for _, c := range in {
		switch {
		case c == '\r' || c == '\n':
			continue
		case c == '=':
			if t.have < 2 {
				return out, errText
			}
			t.pads++
		case t.pads > 0:
			return out, errText
		}
		t.quad[t.have] = c
		if t.have++; t.have < 4 {
			continue
		}
		var err error
		if out, err = t.take(out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// errText says that base64 is none; see broken.
var errText = fmt.Errorf("decode the base64 of a gRPC-Web request: %w", io.ErrUnexpectedEOF)

// take decodes a full quad.
func (t *textReader) take(out []byte) ([]byte, error) {
	var raw [3]byte
	n, err := base64.StdEncoding.Decode(raw[:], t.quad[:])
	t.have, t.pads = 0, 0
	if err != nil {
		return out, errText
	}
	return append(out, raw[:n]...), nil
}

// last completes what is left when the body ends with err.
func (t *textReader) last(err error) error {
	if !errors.Is(err, io.EOF) || t.have == 0 {
		return err
	}
	if t.have == 1 {
		return errText
	}
	for i := t.have; i < 4; i++ {
		t.quad[i] = '='
	}
	var bad error
	if t.out, bad = t.take(t.out); bad != nil {
		return bad
	}
	return err
}

// textWriter encodes the answer to a gRPC-Web request in text. What is flushed is
// padded, so that the client can decode each message when it comes.
type textWriter struct {
	*exchange
	rest [3]byte // what does not fill a group yet
	have int
	buf  []byte
	sent bool // the header
}

// Unwrap implements what [http.ResponseController] looks for.
func (t *textWriter) Unwrap() http.ResponseWriter { return t.exchange }

// WriteHeader implements http.ResponseWriter.
func (t *textWriter) WriteHeader(code int) {
	if !t.sent {
		t.sent = true
		h := t.Header()
		if codec, ok := strings.CutPrefix(h.Get("Content-Type"), typeWeb); ok {
			h.Set("Content-Type", typeWebText+codec)
		}
		h.Del("Content-Length")
	}
	t.exchange.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (t *textWriter) Write(p []byte) (int, error) {
	if !t.sent {
		t.WriteHeader(http.StatusOK)
	}
	n := len(p)
	t.buf = t.buf[:0]
	if t.have > 0 {
		taken := copy(t.rest[t.have:], p)
		t.have += taken
		p = p[taken:]
		if t.have < len(t.rest) {
			return n, nil
		}
		t.buf = base64.StdEncoding.AppendEncode(t.buf, t.rest[:])
	}
	whole := len(p) / 3 * 3
	t.have = copy(t.rest[:], p[whole:])
	t.buf = base64.StdEncoding.AppendEncode(t.buf, p[:whole])
	_, err := t.exchange.Write(t.buf)
	return n, err
}

// Flush implements http.Flusher.
func (t *textWriter) Flush() {
	t.pad()
	t.exchange.Flush()
}

// pad writes what is left, which ends a piece of base64.
func (t *textWriter) pad() {
	if t.have > 0 {
		t.buf = base64.StdEncoding.AppendEncode(t.buf[:0], t.rest[:t.have])
		t.have = 0
		_, _ = t.exchange.Write(t.buf) // the client went away: what comes next sees it
	}
}
