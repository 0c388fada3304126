package grpcx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

// TooLarge says that a message has more bytes than may be received.
type TooLarge struct {
	// Size is how many it has, 0 when that is not known: it was compressed.
	Size int
	// Most is how many it may have.
	Most int
}

// Error implements error.
func (e *TooLarge) Error() string {
	return fmt.Sprintf("receive a message: it has %d bytes (0: not known), more than %d", e.Size, e.Most)
}

// Malformed says that what came is no message, or not the one that the call takes.
// gRPC's own servers answer bytes that do not decode with INTERNAL; here they are the
// caller's fault, who must not be able to make a service look broken to its callers'
// breakers and in its log.
type Malformed struct {
	// Code is that of gRPC's statuscodes.md and compression.md, but for bytes that
	// do not decode.
	Code codes.Code
	// Text says what is wrong, for the caller.
	Text string
}

// Error implements error.
func (e *Malformed) Error() string { return "receive a message: " + e.Text }

// reason is what a codec says, in the same words in every build and whichever codec
// it is: protobuf has a no-break space in some builds, so that nobody compares.
func reason(err error) string {
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), decodePrefix), "\u00a0", " ")
}

func undecodable(format string, args ...any) error {
	return &Malformed{codes.InvalidArgument, fmt.Sprintf(format, args...)}
}

// source is what gRPC's stream of a server reads from (internal/transport,
// ServerStream, v1.85.0).
type source interface {
	ReadMessageHeader(header []byte) error
	Read(n int) (mem.BufferSlice, error)
	RecvCompress() string
	ContentSubtype() string
}

// Reception is how a server receives messages. gRPC's own RecvMsg sends the status
// of a message that it refuses before anybody can say more than it does; this one
// leaves the answer to its caller. gRPC's stats handlers, binary logs and traces
// do not see what it receives. It is safe for concurrent use.
type Reception struct {
	codec encoding.CodecV2 // nil: that of the call
	proto encoding.CodecV2
	most  int
}

// NewReception returns one for messages of so many bytes at most; frames tells
// that the server receives them.
func NewReception(frames bool, most int) *Reception {
	r := &Reception{proto: encoding.GetCodecV2(proto.Name), most: most}
	if frames {
		r.codec = newFrameCodec()
	}
	return r
}

// Call returns what receives the messages of a call; one tells that only one is
// taken. Where gRPC is built otherwise, or the call has a codec of an older kind,
// the receiver is not Own.
func (r *Reception) Call(ss grpc.ServerStream, one bool) Receiver {
	s, ok := grpc.ServerTransportStreamFromContext(ss.Context()).(source)
	if !ok {
		return Receiver{}
	}
	codec := r.codec
	switch sub := s.ContentSubtype(); {
	case codec != nil:
	case sub == "":
		codec = r.proto
	default:
		codec = encoding.GetCodecV2(sub)
	}
	if codec == nil {
		return Receiver{}
	}
	return Receiver{source: s, codec: codec, most: r.most, one: one}
}

// Receiver receives the messages of one call, for one goroutine at a time.
type Receiver struct {
	source source
	codec  encoding.CodecV2
	most   int
	one    bool // the call has one message, and ends behind it
	begun  bool
	failed error
	prefix [5]byte
}

// Own tells whether the receiver can be used; otherwise the stream's RecvMsg is.
func (r *Receiver) Own() bool { return r.source != nil }

// RecvMsg receives the next message; io.EOF: there is none. After another error
// nothing more can be received. It is a [TooLarge] or [Malformed], or has a status.
func (r *Receiver) RecvMsg(m any) error {
	if r.failed == nil {
		r.failed = r.receive(m)
	}
	return r.failed
}

func (r *Receiver) receive(m any) error {
	data, err := r.message()
	switch {
	case errors.Is(err, io.EOF) && r.one && !r.begun:
		return &Malformed{codes.Unimplemented, "the method takes one message, and none came"}
	case err != nil:
		return err
	}
	r.begun = true
	err = r.codec.Unmarshal(data, m)
	data.Free()
	if err != nil {
		return undecodable("a message does not decode: %s", reason(err))
	}
	if !r.one {
		return nil
	}
	switch err := r.source.ReadMessageHeader(r.prefix[:]); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return broken(err)
	}
	return &Malformed{codes.Unimplemented, "the method takes one message, and several came"}
}

// message reads a message as it was sent, or io.EOF.
func (r *Receiver) message() (mem.BufferSlice, error) {
	if err := r.source.ReadMessageHeader(r.prefix[:]); err != nil {
		return nil, broken(err)
	}
	size := binary.BigEndian.Uint32(r.prefix[1:])
	if int64(size) > int64(r.most) {
		return nil, &TooLarge{Size: int(size), Most: r.most}
	}
	data, err := r.source.Read(int(size))
	switch {
	case errors.Is(err, io.EOF):
		return nil, broken(io.ErrUnexpectedEOF)
	case err != nil:
		return nil, broken(err)
	case r.prefix[0] == 0:
		return data, nil
	}
	defer data.Free()
	return r.decompress(data)
}

func (r *Receiver) decompress(data mem.BufferSlice) (mem.BufferSlice, error) {
	name := r.source.RecvCompress()
	compressor := encoding.GetCompressor(name)
	switch {
	case r.prefix[0] != 1:
		return nil, undecodable("a message begins with the flags %d; they are 0, or 1 where it is compressed", r.prefix[0])
	case name == "" || name == encoding.Identity:
		return nil, &Malformed{codes.Internal, "a message is compressed, and grpc-encoding does not say with what"}
	case compressor == nil:
		return nil, status.Errorf(codes.Unimplemented, "grpc: Decompressor is not installed for grpc-encoding %q", name)
	}
	in := data.Reader()
	defer func() { _ = in.Close() }() // gives back what was not read
	plain, err := compressor.Decompress(in)
	if err != nil {
		return nil, undecodable("a message cannot be decompressed: %v", err)
	}
	if c, ok := plain.(io.Closer); ok {
		defer func() { _ = c.Close() }() // all that matters was read
	}
	out, err := mem.ReadAll(io.LimitReader(plain, int64(r.most)+1), mem.DefaultBufferPool())
	switch {
	case err != nil:
		out.Free()
		return nil, undecodable("a message cannot be decompressed: %v", err)
	case out.Len() > r.most:
		out.Free()
		return nil, &TooLarge{Most: r.most}
	}
	return out, nil
}

// broken gives what the transport says a status, as gRPC does; io.EOF has none.
func broken(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return undecodable("the request ends within a message")
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}
