package internal

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
)

// relay passes one stream on, both ways. Each way carries one message at a time:
// the next is received when this one was sent, so that flow control reaches from
// end to end and a slow reader stops its sender.
type relay struct {
	*forwarder
	ss         grpc.ServerStream
	cs         grpc.ClientStream
	link       *link
	method     string
	oneRequest bool // the method takes one message
	peer       peer.Peer
}

// bidi is how every stream is opened: what its method takes and gives is for both
// ends to know.
func bidi() *grpc.StreamDesc { return &grpc.StreamDesc{ClientStreams: true, ServerStreams: true} }

func (r *relay) run() error {
	// Whatever ends the relay ends the backend's stream.
	ctx, cancel := context.WithCancelCause(r.ss.Context())
	defer cancel(nil)
	if r.oneRequest { // uploads have the time that the chassis gives to streams
		defer r.drain.onDrain(r.ss.Context(), cancel)()
	}
	var first, more keelson.Frame
	defer first.Free()
	if r.oneRequest {
		if err := receiveOne(r.ss, &first, &more); err != nil {
			return err
		}
	}
	if err := r.open(ctx); err != nil {
		a := answer{err: err}
		return a.failure(ctx, r.target)
	}
	if r.oneRequest {
		return r.relayOne(ctx, &first)
	}
	r.pumps.Go(func() { r.requests(cancel) })
	return r.responses(ctx)
}

// open opens the backend's stream. Nothing was sent where that fails for want of an
// instance: the last one went when the link had just been ready.
func (r *relay) open(ctx context.Context) error {
	out := outgoing(ctx)
	for again := false; ; again = true {
		err := r.link.ready(ctx, r.patience)
		if err != nil {
			return err
		}
		r.cs, err = r.link.NewStream(out, bidi(), r.method, grpc.WaitForReady(false), grpc.Peer(&r.peer))
		if again || errs.Code(err) != codes.Unavailable || !errs.From(err).Remote() {
			return err
		}
	}
}

// relayOne sends the one request and passes on what is answered. A sending that
// fails says nothing: how the stream ended is heard by receiving.
func (r *relay) relayOne(ctx context.Context, first *keelson.Frame) error {
	err := r.cs.SendMsg(first)
	if err == nil {
		err = r.cs.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return r.end(ctx, err)
	}
	return r.responses(ctx)
}

// requests passes on what the client sends until it ends its sending or the
// stream ends. An error of the client's side ends the stream with it. It runs in
// a goroutine of its own, which ends when the handler has returned, if not before.
func (r *relay) requests(cancel context.CancelCauseFunc) {
	var msg keelson.Frame
	for {
		if err := r.ss.RecvMsg(&msg); errors.Is(err, io.EOF) {
			_ = r.cs.CloseSend() // how the stream ends is heard by receiving
			return
		} else if err != nil {
			cancel(&refused{err})
			return
		}
		err := r.sizes.checkRequest(r.target, &msg)
		if err == nil {
			err = r.cs.SendMsg(&msg)
		}
		msg.Free()
		if errors.Is(err, io.EOF) { // the backend has ended the stream
			return
		} else if err != nil {
			cancel(&refused{err})
			return
		}
	}
}

// refused is why the gateway ended a stream of which a message could not be
// received or sent on.
type refused struct{ error }

// Unwrap returns what the client is told.
func (r *refused) Unwrap() error { return r.error }

// responses passes on what the backend sends, and returns how the stream ends.
// Headers are passed on when they come: there are some before the first message
// only where the backend sent them, and then it cannot be asked a second time
// anyway.
func (r *relay) responses(ctx context.Context) error {
	header, err := r.cs.Header()
	if err == nil && header != nil {
		if err := r.ss.SendHeader(forwarded(header)); err != nil {
			return err
		}
	}
	var msg keelson.Frame
	for {
		if err := r.cs.RecvMsg(&msg); err != nil {
			return r.end(ctx, err)
		}
		err := r.sizes.checkAnswer(r.target, &msg)
		if err == nil {
			err = r.ss.SendMsg(&msg)
		}
		msg.Free()
		if err != nil {
			return err
		}
	}
}

// end returns the error with which the stream ends, nil for a good end.
func (r *relay) end(ctx context.Context, err error) error {
	header, _ := r.cs.Header() // it has come, or never will
	a := answer{err: err, header: header, trailer: r.cs.Trailer(), peer: &r.peer}
	if through := trailers(a.trailer, saysWhen(err)); through != nil {
		r.ss.SetTrailer(through)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return a.failure(ctx, r.target)
}
