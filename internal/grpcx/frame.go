package grpcx

import (
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// Frame is one message as bytes, which nobody decodes. The zero value is an empty
// message. It may be sent several times, also at once, but received into and
// freed by one goroutine only.
type Frame struct{ data mem.BufferSlice }

// NewFrame returns a message of these bytes, which must not change any more.
func NewFrame(b []byte) *Frame { return &Frame{mem.BufferSlice{mem.SliceBuffer(b)}} }

// Bytes returns a copy of the message.
func (f *Frame) Bytes() []byte { return f.data.Materialize() }

// Len returns the message's size in bytes.
func (f *Frame) Len() int { return f.data.Len() }

// Free gives the message's memory back to gRPC's pools. Forgetting it leaves that
// to the garbage collector.
func (f *Frame) Free() {
	f.data.Free()
	f.data = nil
}

// Take makes another frame's message this one's.
func (f *Frame) Take(from *Frame) {
	f.Free()
	f.data, from.data = from.data, nil
}

// ReceiveFrames lets a server's handlers receive and send frames as well as
// proto messages.
func ReceiveFrames() grpc.ServerOption { return grpc.ForceServerCodecV2(newFrameCodec()) }

// SendFrames lets calls of a connection send and receive frames as well as proto
// messages.
func SendFrames() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.ForceCodecV2(newFrameCodec()))
}

// frameCodec is gRPC's own codec, which passes frames through.
type frameCodec struct{ encoding.CodecV2 }

func newFrameCodec() frameCodec { return frameCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(interface{ frame() *Frame })
	if !ok {
		b, err := c.CodecV2.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode a message: %w", err)
		}
		return b, nil
	}
	data := f.frame().data
	data.Ref() // gRPC frees what it was given
	return data, nil
}

// decodePrefix begins the errors of a codec that knows frames.
const decodePrefix = "decode a message: "

// Unmarshal implements encoding.CodecV2.
func (c frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(interface{ frame() *Frame })
	if !ok {
		if err := c.CodecV2.Unmarshal(data, v); err != nil {
			return fmt.Errorf(decodePrefix+"%w", err)
		}
		return nil
	}
	data.Ref() // gRPC frees it when this returns
	f.frame().Free()
	f.frame().data = data
	return nil
}

func (f *Frame) frame() *Frame { return f }
