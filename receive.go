package keelson

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/policy"
)

// receiver returns what receives the messages of a call of the method.
func (m *method) receiver(ss grpc.ServerStream) grpcx.Receiver {
	if len(m.opts.server) > 0 { // they may be about receiving
		return grpcx.Receiver{}
	}
	return m.reception.Call(ss, m.oneRequest())
}

// oneRequest tells whether gRPC takes only one message of the client.
func (m *method) oneRequest() bool {
	return !m.forwards && (m.policy.Kind == policy.Unary || m.policy.Kind == policy.ServerStream)
}

// next receives the next message. What cannot be received ends the call at once,
// as in gRPC itself, whatever the handler does about it.
func (c *serverCall) next(msg any) error {
	err := c.read(msg)
	if err == nil || errors.Is(err, io.EOF) || !c.in.Own() || c.ServerStream.Context().Err() != nil {
		return err // the last: gRPC has ended the call
	}
	var large *grpcx.TooLarge
	var bad *grpcx.Malformed
	switch {
	case errors.As(err, &large):
		err = requestTooLarge(large)
	case errors.As(err, &bad):
		err = malformed(bad)
	}
	refused := err
	if c.refused.CompareAndSwap(nil, &refused) {
		st, _ := c.status(err)
		grpcx.Answer(c.ServerStream.Context(), status.Convert(st))
	}
	return err
}

// malformed says that what the client sent is no message that the method takes.
func malformed(bad *grpcx.Malformed) error {
	reason := errs.ReasonMalformedMessage
	if bad.Code == codes.Unimplemented {
		reason = errs.ReasonMessageCount
	}
	return errs.New(bad.Code, reason, "%s", bad.Text).With(errs.Cause(bad))
}

// read receives the next message, by way of the intake if there is one.
func (c *serverCall) read(msg any) error {
	if c.body == nil {
		return c.receiveMsg(msg)
	}
	c.body.want(1)
	defer c.body.want(-1)
	err := c.receiveMsg(msg)
	if err == nil {
		c.body.took()
	}
	return err
}

func (c *serverCall) receiveMsg(msg any) error {
	if c.in.Own() {
		return c.in.RecvMsg(msg) //nolint:wrapcheck // next gives it its meaning
	}
	return c.ServerStream.RecvMsg(msg)
}
