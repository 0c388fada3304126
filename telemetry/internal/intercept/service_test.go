package intercept_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// kinds are the four kinds of gRPC methods.
var kinds = []string{"Unary", "ClientStream", "ServerStream", "BidiStream"}

// describe returns a service whose handlers answer with a given error, after
// two messages on each streaming side. Around is put around every handler.
func describe(answer func() error, around func(method string, ctx context.Context, handle func(context.Context) (received, sent int, err error)) error) *grpc.ServiceDesc {
	stream := func(name string, client, server bool) grpc.StreamDesc {
		return grpc.StreamDesc{StreamName: name, ClientStreams: client, ServerStreams: server, Handler: func(_ any, s grpc.ServerStream) error {
			return around("/t.T/"+name, s.Context(), func(context.Context) (received, sent int, err error) {
				return exchange(s, client, server, answer)
			})
		}}
	}
	return &grpc.ServiceDesc{
		ServiceName: "t.T", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.StringValue{}
			if err := decode(in); err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, in any) (any, error) {
				return in, around("/t.T/Unary", ctx, func(context.Context) (received, sent int, err error) {
					if err := answer(); err != nil {
						return 1, 0, err
					}
					return 1, 1, nil
				})
			}
			if interceptor == nil {
				return handle(ctx, in)
			}
			return interceptor(ctx, in, &grpc.UnaryServerInfo{FullMethod: "/t.T/Unary"}, handle)
		}}},
		Streams: []grpc.StreamDesc{stream("ClientStream", true, false), stream("ServerStream", false, true), stream("BidiStream", true, true)},
	}
}

func exchange(s grpc.ServerStream, client, server bool, answer func() error) (received, sent int, err error) {
	for {
		err := s.RecvMsg(&wrapperspb.StringValue{})
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return received, sent, err
		}
		if received++; !client {
			break
		}
	}
	if err := answer(); err != nil {
		return received, sent, err
	}
	replies := 1
	if server {
		replies = 2
	}
	for range replies {
		if err := s.SendMsg(&wrapperspb.StringValue{Value: "x"}); err != nil {
			return received, sent, err
		}
		sent++
	}
	return received, sent, nil
}

// serve starts a server in memory and returns a connection to it, and what
// ends both once all handlers have returned.
func serve(t *testing.T, desc *grpc.ServiceDesc, options []grpc.ServerOption, dial ...grpc.DialOption) (cc *grpc.ClientConn, stop func()) {
	t.Helper()
	l := bufconn.Listen(1 << 20)
	s := grpc.NewServer(options...)
	s.RegisterService(desc, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	cc, err := grpc.NewClient("passthrough:///memory", append(dial,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cc.Close()
		s.GracefulStop()
		<-done
	})
	t.Cleanup(stop)
	return cc, stop
}

// invoke makes one call of a kind, to its end.
func invoke(ctx context.Context, cc *grpc.ClientConn, kind string) error {
	in := &wrapperspb.StringValue{Value: "x"}
	if kind == "Unary" {
		return cc.Invoke(ctx, "/t.T/Unary", in, &wrapperspb.StringValue{})
	}
	desc := &grpc.StreamDesc{ClientStreams: kind != "ServerStream", ServerStreams: kind != "ClientStream"}
	s, err := cc.NewStream(ctx, desc, "/t.T/"+kind)
	if err != nil {
		return err
	}
	messages := 1
	if desc.ClientStreams {
		messages = 2
	}
	for range messages {
		if err := s.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for {
		err := s.RecvMsg(&wrapperspb.StringValue{})
		if errors.Is(err, io.EOF) || err == nil && !desc.ServerStreams {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
