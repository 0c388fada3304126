package inproc

import (
	"errors"
	"fmt"
	"net/http"
)

// maxText is how much is kept of an answer that is not gRPC.
const maxText = 512

// unaryWriter collects the answer to a unary call.
type unaryWriter struct {
	header http.Header
	code   int
	frames deframer
	first  []byte
	count  int
	err    error
	text   []byte // of an answer that is not gRPC
}

// Header implements http.ResponseWriter.
func (w *unaryWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *unaryWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
}

// Flush implements http.Flusher.
func (w *unaryWriter) Flush() { w.WriteHeader(http.StatusOK) }

// Write implements http.ResponseWriter.
func (w *unaryWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.code != http.StatusOK {
		w.text = append(w.text, p[:min(len(p), maxText-len(w.text))]...)
		return len(p), nil
	}
	for rest := p; len(rest) > 0 && w.err == nil; {
		var message []byte
		var done bool
		if message, rest, done, w.err = w.frames.next(rest); done {
			w.first = message
			w.count++
		}
	}
	return len(p), w.err
}

// message returns the one message of the answer.
func (w *unaryWriter) message() ([]byte, error) {
	switch {
	case w.err != nil:
		return nil, w.err
	case !w.frames.between():
		return nil, errors.New("the server ended its answer within a message")
	case w.count != 1:
		return nil, fmt.Errorf("the server answered a unary call with %d messages, it must be one", w.count)
	}
	return w.first, nil
}
