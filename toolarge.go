package keelson

import (
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/grpcx"
)

// requestTooLarge says that a message of the client is larger than the service
// takes. It does not say how large it is: not every way into the service knows.
func requestTooLarge(l *grpcx.TooLarge) error {
	return errs.ResourceExhausted(errs.ReasonRequestTooLarge, "a message is larger than the %d bytes that this service takes (grpc.max_receive); send less at once, or use a stream", l.Most).
		With(maxBytes(l), errs.Cause(l))
}

// tooLarge gives an error that gRPC made at this end, because of a message's size,
// its reason. What a server said about sizes stays as it is: said says so.
func (r *clientCall) tooLarge(err error, said func(grpcx.Refused) bool) error {
	e := errs.From(err)
	if e.Code() != codes.ResourceExhausted || e.Reason() != "" {
		return err
	}
	l, ok := grpcx.SizeRefused(e.Message())
	switch {
	case !ok || said(l):
		return err
	case l.Sending:
		return errs.ResourceExhausted(errs.ReasonRequestTooLarge, "a message%s is larger than the %d bytes that may be sent to %s (client.max_send); send less at once, or use a stream", ofSize(&l.TooLarge), l.Most, r.Target).
			With(maxBytes(&l.TooLarge), errs.Cause(err))
	default:
		return errs.ResourceExhausted(errs.ReasonResponseTooLarge, "%s answered with a message%s, more than the %d that are taken (client.max_receive); ask for less at once", r.Target, ofSize(&l.TooLarge), l.Most).
			With(maxBytes(&l.TooLarge), errs.Cause(err))
	}
}

// unaryTooLarge is tooLarge for a unary call. Where its request is the message that
// is meant, a receiver's words are the server's, and a sender's are ours.
func (r *clientCall) unaryTooLarge(err error, req any) error {
	return r.tooLarge(err, func(l grpcx.Refused) bool {
		size := sizeOf(req)
		return (size > l.Most && (l.Size == 0 || l.Size == size)) != l.Sending
	})
}

// saidByServer tells whether it was the server that refused a message: one that
// answers with nothing else says its content type behind it, and otherwise it has
// another limit, as far as can be told.
func (s *clientStream) saidByServer(l grpcx.Refused) bool {
	return l.Sending || l.Most != s.most || len(s.Trailer().Get("content-type")) > 0
}

// sizeOf returns the encoded size of a message.
func sizeOf(msg any) int {
	switch m := msg.(type) {
	case proto.Message:
		return proto.Size(m)
	case interface{ Len() int }:
		return m.Len()
	default:
		return 0
	}
}

func ofSize(l *grpcx.TooLarge) string {
	if l.Size == 0 {
		return ""
	}
	return fmt.Sprintf(" of %d bytes", l.Size)
}

func maxBytes(l *grpcx.TooLarge) errs.Detail { return errs.Meta("max_bytes", fmt.Sprint(l.Most)) }
