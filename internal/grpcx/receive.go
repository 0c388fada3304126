package grpcx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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
// nothing more can be received. It is a [TooLarge], or has a status.
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
		return status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
	case err != nil:
		return err
	}
	r.begun = true
	err = r.codec.Unmarshal(data, m)
	data.Free()
	if err != nil {
		return status.Errorf(codes.Internal, "grpc: failed to unmarshal the received message: %v", err)
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
	return status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
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
		return nil, status.Errorf(codes.Internal, "grpc: received unexpected payload format %d", r.prefix[0])
	case name == "" || name == encoding.Identity:
		return nil, status.Error(codes.Internal, "grpc: compressed flag set with identity or empty encoding")
	case compressor == nil:
		return nil, status.Errorf(codes.Unimplemented, "grpc: Decompressor is not installed for grpc-encoding %q", name)
	}
	in := data.Reader()
	defer func() { _ = in.Close() }() // gives back what was not read
	plain, err := compressor.Decompress(in)
	if err != nil {
		return nil, status.Errorf(codes.Internal, "grpc: failed to decompress the message: %v", err)
	}
	if c, ok := plain.(io.Closer); ok {
		defer func() { _ = c.Close() }() // all that matters was read
	}
	out, err := mem.ReadAll(io.LimitReader(plain, int64(r.most)+1), mem.DefaultBufferPool())
	switch {
	case err != nil:
		out.Free()
		return nil, status.Errorf(codes.Internal, "grpc: failed to read decompressed data: %v", err)
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
		return status.Error(codes.Internal, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}
