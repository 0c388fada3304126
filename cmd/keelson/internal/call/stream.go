package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/dynamicpb"
)

// inputError is a fault of the input. What was sent before it has been
// answered.
type inputError struct {
	err  error
	sent int64
}

// Error says what is wrong, and what has been done before.
func (e *inputError) Error() string {
	if e.sent == 0 {
		return e.err.Error()
	}
	return fmt.Sprintf("%s\n  what was sent before it (messages: %s) is answered above", e.err, thousands(e.sent))
}

// Unwrap gives the fault.
func (e *inputError) Unwrap() error { return e.err }

// sender sends the input on a stream.
type sender struct {
	s      *session
	stream grpc.ClientStream
	cancel context.CancelFunc
	fault  atomic.Pointer[inputError]
	done   chan struct{}
}

// stream makes a call that streams in either direction. It sends and receives
// at the same time, or a server that answers while it reads would block both
// ends.
func (s *session) stream(ctx context.Context) error {
	desc := &grpc.StreamDesc{ClientStreams: s.method.IsStreamingClient(), ServerStreams: s.method.IsStreamingServer()}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.conn.NewStream(ctx, desc, FullName(s.method), s.callOptions()...)
	if err != nil {
		return err
	}
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		if awaitHangup(ctx, s.opts.Out) {
			s.cancel(errOutputClosed)
		}
	}()
	defer func() { cancel(); <-silent }()
	send := &sender{s: s, stream: stream, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(send.done)
		send.run()
	}()
	err = s.receive(stream)
	cancel() // the server has said its last: nothing more can be sent
	if !s.in.slow {
		<-send.done // a reader of a terminal or a pipe may never return
	}
	if fault := send.fault.Load(); fault != nil {
		return errors.Join(fault, err)
	}
	return err
}

// run sends until the input ends, has a fault, or the server ends the stream.
// gRPC's flow control makes SendMsg wait, so no more than a window is in memory.
func (d *sender) run() {
	if err := d.messages(); err != nil {
		sent := d.s.bar.sent.Load()
		d.fault.Store(&inputError{err, sent})
		if sent == 0 {
			d.cancel() // there is nothing to wait for
			return
		}
	}
	_ = d.stream.CloseSend() // what went wrong is in the stream's status
}

func (d *sender) messages() error {
	in := d.s.in
	if !d.s.method.IsStreamingClient() {
		raw, err := in.All()
		if err != nil {
			return err
		}
		_, err = d.message(raw)
		return err
	}
	for {
		raw, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if ended, err := d.message(raw); ended || err != nil {
			return err
		}
	}
}

// message sends one message. An end of the stream is no fault of the input:
// receive learns why.
func (d *sender) message(raw []byte) (ended bool, err error) {
	m := dynamicpb.NewMessage(d.s.method.Input())
	if err := d.s.in.Decode(raw, m, d.s.schema.types); err != nil {
		return false, err
	}
	if d.stream.SendMsg(m) != nil {
		return true, nil
	}
	d.s.bar.sent.Add(1)
	d.s.bar.read.Store(d.s.in.read)
	return false, nil
}

// receive prints what comes until the stream ends.
func (s *session) receive(stream grpc.ClientStream) error {
	for {
		m := dynamicpb.NewMessage(s.method.Output())
		err := stream.RecvMsg(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.bar.received.Add(1)
		if err := s.out.print(m); err != nil {
			return fmt.Errorf("show the answer as JSON: %w", err)
		}
		if !s.method.IsStreamingServer() {
			return nil
		}
	}
}
