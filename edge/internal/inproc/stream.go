package inproc

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Stream is a call with any number of messages in both directions.
//
// One goroutine may send while another receives; neither method may be called
// by two at once. Nothing is buffered beyond the message at hand: a sender waits
// for the server, a server waits for the receiver.
//
// Whoever opens a stream calls [Stream.Close] in the end, which waits for the
// one goroutine that runs the handler.
type Stream struct {
	cancel   context.CancelFunc
	in       *io.PipeReader
	out      *io.PipeWriter
	w        *streamWriter
	done     chan struct{} // closed when the handler has returned
	trailer  http.Header   // after done
	status   *status.Status
	canceled sync.Once
}

// Open begins a call. When ctx ends the call is cancelled.
func (c *Call) Open(ctx context.Context) *Stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream{cancel: cancel, done: make(chan struct{})}
	s.in, s.out = io.Pipe()
	s.w = &streamWriter{
		ctx: ctx, header: make(http.Header, 8),
		sent: make(chan struct{}), messages: make(chan []byte),
	}
	go s.run(ctx, c)
	return s
}

func (s *Stream) run(ctx context.Context, c *Call) {
	defer close(s.done)
	c.serve(ctx, s.w, s.in)
	_ = s.in.Close() // a sender learns that nobody reads any more
	s.w.flush()
	_, s.trailer = split(s.w.header)
	s.status = statusOf(ctx, s.w.code, s.w.header, s.w.text)
	if s.status.Code() == codes.OK && (s.w.err != nil || !s.w.frames.between()) {
		s.status = status.New(codes.Internal, "the server ended its answer within a message, or broke its framing")
	}
}

// Send sends one message. It waits until the server has taken it. io.EOF: the
// call has ended, Recv says how. The message may be changed afterwards.
func (s *Stream) Send(message []byte) error {
	if len(message) > math.MaxUint32 {
		return errTooLarge
	}
	prefix := frameHeader(len(message))
	frame := make([]byte, 0, prefixLength+len(message))
	frame = append(append(frame, prefix[:]...), message...)
	if _, err := s.out.Write(frame); err != nil {
		return io.EOF
	}
	return nil
}

// CloseSend tells the server that no message follows. It does not wait.
func (s *Stream) CloseSend() { _ = s.out.Close() }

// HeaderSent is closed when the server has sent its header: at the latest with
// its first message or its status.
func (s *Stream) HeaderSent() <-chan struct{} { return s.w.sent }

// Header returns the response metadata, with canonical keys, once HeaderSent is
// closed; before that it waits for it.
func (s *Stream) Header() http.Header {
	<-s.w.sent
	return s.w.snapshot
}

// Recv waits for the next message, which is the caller's. io.EOF: the call has
// ended, Status says how.
func (s *Stream) Recv() ([]byte, error) {
	select {
	case m := <-s.w.messages:
		return m, nil
	case <-s.done:
		return nil, io.EOF
	}
}

// Messages is the channel that Recv reads, for those who wait for more than
// that. It is never closed; see Done.
func (s *Stream) Messages() <-chan []byte { return s.w.messages }

// Done is closed when the call has ended and every message was received.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Status waits for the end of the call and returns how it ended; never nil.
func (s *Stream) Status() *status.Status {
	<-s.done
	return s.status
}

// Trailer waits for the end of the call and returns its metadata.
func (s *Stream) Trailer() http.Header {
	<-s.done
	return s.trailer
}

// Break ends what the server receives with CANCELED, after the messages that were
// sent: nothing follows, and they are not all. The call is not cancelled. why is the message of that
// status, for the server's log. It does not wait, and may be called by any goroutine.
func (s *Stream) Break(why string) {
	// gRPC over net/http takes these words for CANCELED, and others for a connection
	// that was lost (handler_server.go, mapRecvMsgError, v1.85.0).
	_ = s.out.CloseWithError(errors.New(why + " (request body closed by handler)"))
}

// Cancel cancels the call if it has not ended. It does not wait, may be called
// more than once, and by any goroutine.
func (s *Stream) Cancel() {
	s.canceled.Do(func() {
		s.cancel()
		s.Break("the call was cancelled")
	})
}

// Close cancels the call if it has not ended and waits for the handler. It may
// be called more than once, and by any goroutine.
func (s *Stream) Close() {
	s.Cancel()
	<-s.done
}

// streamWriter hands each message to the receiver as it is complete.
type streamWriter struct {
	ctx      context.Context //nolint:containedctx // the writer lives as long as the request
	header   http.Header
	code     int
	sent     chan struct{}
	snapshot http.Header // set before sent is closed
	frames   deframer
	messages chan []byte
	err      error
	text     []byte
}

// Header implements http.ResponseWriter.
func (w *streamWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *streamWriter) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
		w.snapshot, _ = split(maps.Clone(w.header))
		close(w.sent)
	}
}

// Flush implements http.Flusher.
func (w *streamWriter) Flush() { w.WriteHeader(http.StatusOK) }

// flush makes up for a handler that sent nothing at all, and leaves code as it is.
func (w *streamWriter) flush() {
	if w.code == 0 {
		w.snapshot = make(http.Header)
		close(w.sent)
	}
}

// Write implements http.ResponseWriter. It waits until the receiver has what it
// completes, or the call ends.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	if w.code != http.StatusOK {
		w.text = append(w.text, p[:min(len(p), maxText-len(w.text))]...)
		return len(p), nil
	}
	for rest := p; len(rest) > 0 && w.err == nil; {
		var message []byte
		var done bool
		if message, rest, done, w.err = w.frames.next(rest); !done {
			continue
		}
		select {
		case w.messages <- message:
		case <-w.ctx.Done():
			w.err = w.ctx.Err()
		}
	}
	return len(p), w.err
}
