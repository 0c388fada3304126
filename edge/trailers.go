package edge

import (
	"bytes"
	"encoding/binary"
	"net/http"
)

// webWriter writes answers of gRPC-Web. The transcoder writes the names of the
// trailers as HTTP/1 spells them; gRPC-Web wants them in lower case (PROTOCOL-WEB.md
// of gRPC).
type webWriter struct {
	http.ResponseWriter
	prefix [envelope]byte
	have   int    // bytes in prefix
	left   uint32 // of the message under way
	end    []byte // the trailers, once they have begun
}

// trailerFlag marks the message that holds the trailers.
const trailerFlag = 0x80

// Unwrap implements what [http.ResponseController] looks for.
func (w *webWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher.
func (w *webWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() } // the client went away

// Write implements http.ResponseWriter. Messages pass as they are.
func (w *webWriter) Write(p []byte) (int, error) {
	if w.end != nil {
		w.end = append(w.end, p...)
		return len(p), w.finish()
	}
	passed := w.follow(p)
	if n, err := w.ResponseWriter.Write(p[:passed]); err != nil || passed == len(p) {
		return n, err //nolint:wrapcheck // net/http's callers compare it
	}
	w.end = append(w.end, p[passed:]...)
	return len(p), w.finish()
}

// follow follows the messages through p, and returns how much of it is not the
// trailers.
func (w *webWriter) follow(p []byte) int {
	for i := 0; i < len(p); {
		if w.left > 0 {
			n := min(int64(w.left), int64(len(p)-i))
			i, w.left = i+int(n), w.left-uint32(n) //nolint:gosec // it is at most left
			continue
		}
		n := copy(w.prefix[w.have:], p[i:])
		i, w.have = i+n, w.have+n
		if w.have < envelope {
			break
		}
		w.have = 0
		w.left = binary.BigEndian.Uint32(w.prefix[1:])
		if w.prefix[0]&trailerFlag != 0 {
			w.end = make([]byte, 0, w.left)
			return i
		}
	}
	return len(p)
}

// finish writes the trailers once they are complete.
func (w *webWriter) finish() error {
	if len(w.end) < int(w.left) {
		return nil
	}
	lowerNames(w.end)
	_, err := w.ResponseWriter.Write(w.end) //nolint:gosec // G705: gRPC-Web, never HTML, and nosniff
	return err                              //nolint:wrapcheck // as in Write
}

// lowerNames writes the names of header lines in lower case.
func lowerNames(text []byte) {
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		name, _, _ := bytes.Cut(line, []byte(":"))
		copy(name, bytes.ToLower(name))
		text = rest
	}
}
