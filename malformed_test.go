package keelson_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/mem"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

// bytesCodec sends texts as they are, under the name of protobuf.
type bytesCodec struct{}

// Name implements encoding.CodecV2.
func (bytesCodec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	text, _ := v.(string)
	return mem.BufferSlice{mem.SliceBuffer(text)}, nil
}

// Unmarshal implements encoding.CodecV2.
func (bytesCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

// sendBytes sends messages of these bytes and returns how the call ended.
func sendBytes(ctx context.Context, conn *grpc.ClientConn, method string, messages []string, opts ...grpc.CallOption) error {
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method, append(opts, grpc.ForceCodecV2(bytesCodec{}))...)
	for _, m := range messages {
		if err == nil {
			err = s.SendMsg(m)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return drainStream(s.CloseSend(), func() error { var answer string; return s.RecvMsg(&answer) })
}

// What a client sends wrong must not look like a failure of the service: neither to
// the breakers of those who call it, nor in its log.
func TestWhatIsNoMessageIsTheCallersFault(t *testing.T) {
	const invalid = "\xff"
	for _, tc := range []struct {
		name     string
		methods  []string
		messages []string
		code     codes.Code
		reason   string
		opts     []grpc.CallOption
	}{
		{"bytes of nobody", []string{unaryCall, outputCall, inputCall, duplexCall}, []string{invalid}, codes.InvalidArgument, errs.ReasonMalformedMessage, nil},
		{"compressed bytes of nobody", []string{unaryCall, inputCall}, []string{invalid}, codes.InvalidArgument, errs.ReasonMalformedMessage, []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
		{"no message", []string{unaryCall, outputCall}, nil, codes.Unimplemented, errs.ReasonMessageCount, nil},
		{"two messages", []string{unaryCall, outputCall}, []string{"", ""}, codes.Unimplemented, errs.ReasonMessageCount, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log logBuffer
			conn, drain := keelsontest.Start(t, sized().register, keelsontest.WithLog(&log))
			for _, method := range tc.methods {
				e := errs.From(sendBytes(bounded(t), conn, method, tc.messages, tc.opts...))
				if e.Code() != tc.code || e.Reason() != tc.reason || e.Domain() == "" || e.RequestID() == "" {
					t.Errorf("%s: %v, reason %s in %q, correlation ID %q", method, e, e.Reason(), e.Domain(), e.RequestID())
				}
				if tc.reason == errs.ReasonMalformedMessage && !strings.HasSuffix(e.Message(), "a message does not decode: proto: cannot parse invalid wire-format data") {
					t.Errorf("%s says %q", method, e.Message())
				}
			}
			if err := drain(); err != nil {
				t.Fatal(err)
			}
			for _, line := range log.calls(t, "server_call") {
				if line["log.level"] != "info" {
					t.Errorf("the service warns: %v", line)
				}
			}
		})
	}
}
