package edge

import (
	"errors"
	"io"

	"connectrpc.com/connect"
	"connectrpc.com/vanguard"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/errs"
)

// jsonCodec is protojson for requests and answers. Fields that are not known are
// ignored, as by Connect's own servers.
type jsonCodec struct {
	vanguard.JSONCodec
	types  *rest.Types // nil: not the service's
	domain string      // of its errors
}

func (e *Edge) newJSON(types vanguard.TypeResolver) vanguard.Codec {
	own, _ := types.(*rest.Types)
	return jsonCodec{vanguard.JSONCodec{
		MarshalOptions:   protojson.MarshalOptions{Resolver: types},
		UnmarshalOptions: protojson.UnmarshalOptions{Resolver: types, DiscardUnknown: true},
	}, own, e.domain}
}

// Unmarshal implements vanguard.Codec. What does not decode it panics with, see
// undecodable.
func (c jsonCodec) Unmarshal(data []byte, msg proto.Message) error {
	if err := c.JSONCodec.Unmarshal(data, msg); err != nil {
		panic(undecodable{c.explain(data, msg, err)})
	}
	return nil
}

// MarshalAppend implements vanguard.Codec. What an Any holds and is not known here is
// bytes, as over REST. What has no JSON at all is an error that the transcoder answers
// in its own way: it has let go of the message by now, and could not go on after a
// panic.
func (c jsonCodec) MarshalAppend(b []byte, msg proto.Message) ([]byte, error) {
	out, err := c.JSONCodec.MarshalAppend(b, msg)
	if err == nil {
		return out, nil
	}
	if c.types != nil {
		if raw, failed := c.types.JSON(msg); failed == nil {
			return append(b, raw...), nil
		}
	}
	return nil, connectErrorFor(errs.Internal(errs.ReasonInternal, "the answer %s has no JSON form", msg.ProtoReflect().Descriptor().FullName()).With(errs.Cause(err)), c.domain)
}

// connectErrorFor is an error as the transcoder takes it.
func connectErrorFor(e *errs.Error, domain string) *connect.Error {
	made := connect.NewError(connect.Code(e.Code()), errors.New(e.Message()))
	for _, any := range errs.Status(e, domain, "").Proto().GetDetails() {
		if m, err := any.UnmarshalNew(); err == nil {
			if d, err := connect.NewErrorDetail(m); err == nil {
				made.AddDetail(d)
			}
		}
	}
	return made
}

// explain says what is wrong with JSON that is no message.
func (c jsonCodec) explain(data []byte, msg proto.Message, why error) *errs.Error {
	if c.types != nil {
		if said := c.types.Explain(data, msg.ProtoReflect()); said != nil {
			return said
		}
	}
	return errs.InvalidArgument(errs.ReasonInvalidRequest, "the request is no JSON of %s: %v", msg.ProtoReflect().Descriptor().FullName(), why)
}

// protoCodec is the protobuf codec, for messages that a query holds and for answers
// that become JSON.
type protoCodec struct {
	*vanguard.ProtoCodec
	types  *rest.Types
	domain string
}

func (e *Edge) newProto(types vanguard.TypeResolver) vanguard.Codec {
	own, _ := types.(*rest.Types)
	return protoCodec{vanguard.NewProtoCodec(types), own, e.domain}
}

// Unmarshal implements vanguard.Codec: for requests as that of jsonCodec, for answers
// as its MarshalAppend.
func (c protoCodec) Unmarshal(data []byte, msg proto.Message) error {
	err := c.ProtoCodec.Unmarshal(data, msg)
	if err == nil {
		return nil
	}
	d := msg.ProtoReflect().Descriptor()
	if c.types != nil && c.types.InQuery(d) {
		panic(undecodable{malformed("a message is none of %s: %v", d.FullName(), err)})
	}
	return connectErrorFor(errs.Internal(errs.ReasonInternal, "the answer does not parse as %s", d.FullName()).With(errs.Cause(err)), c.domain)
}

// undecodable is what the codec and the decompressor panic with. The transcoder
// would answer an error of theirs by itself, in words of its own and without the
// correlation ID, and let the service believe that the request had come to its end.
// Who called the transcoder catches it.
type undecodable struct{ err *errs.Error }

// caught catches undecodable in a read or write of the transcoder.
func (x *exchange) caught(err *error) {
	r := recover()
	if r == nil {
		return
	}
	bad, ok := r.(undecodable)
	if !ok {
		panic(r)
	}
	x.spoil(bad.err)
	*err = errSpoilt
}

// spoil notes what is wrong with what the client sent. It is the answer, unless the
// service succeeds all the same.
func (x *exchange) spoil(err *errs.Error) {
	if x.spoilt == nil {
		x.spoilt = err
	}
}

// broken notes why the body could not be read any further. Where the client went away
// there is nothing to note: nobody reads the answer.
func (x *exchange) broken(err error) {
	switch {
	case x.body.tooLarge.Load():
		x.spoil(tooLarge(x.body.limit, "edge.max_body"))
	case errors.Is(err, errSlow):
		x.spoil(errs.DeadlineExceeded(ReasonRequestTimeout, "the body did not come in time; send it without pauses, or less at once (the operator sets edge.read_timeout)"))
	case x.body.wrong != nil:
		x.spoil(x.body.wrong)
	case errors.Is(err, errText):
		x.spoil(malformed("the body is no base64, as application/grpc-web-text has it"))
	case errors.Is(err, io.ErrUnexpectedEOF):
		x.spoil(malformed("the body ends within a message"))
	}
}

// errSpoilt ends the service's reading of a request of which no more can be
// understood. gRPC over net/http takes a body that this end has closed for a call
// that was cancelled (handler_server.go, mapRecvMsgError, v1.85.0): what a client
// sends wrong is nothing that the service should warn of.
var errSpoilt = errors.New("edge: body closed by handler")

// malformed is the error for bytes that are no message.
func malformed(format string, args ...any) *errs.Error {
	return errs.InvalidArgument(ReasonMalformedMessage, format, args...)
}
