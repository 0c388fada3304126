package keelson_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"testing"

	"google.golang.org/grpc"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson"
)

// Calls without options of their own share the connection's default ones.
func TestCallsAtOnceDoNotShareWhatTheChassisAddsToTheirOptions(t *testing.T) {
	met := new(sync.WaitGroup)
	var mu sync.Mutex
	var peers []*peer.Peer
	look := func(opts []grpc.CallOption) {
		met.Done()
		met.Wait() // both calls have all their options
		mu.Lock()
		defer mu.Unlock()
		for _, o := range opts {
			if p, ok := o.(grpc.PeerCallOption); ok {
				peers = append(peers, p.PeerAddr)
			}
		}
	}
	client, err := keelson.NewClient("test", keelson.Config{}, keelson.WithLogOutput(io.Discard), keelson.WithClientInterceptors(
		[]grpc.UnaryClientInterceptor{func(_ context.Context, _ string, _, _ any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			look(opts)
			return nil
		}},
		[]grpc.StreamClientInterceptor{func(_ context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, _ grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			look(opts)
			return nil, io.ErrUnexpectedEOF
		}},
	))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	var more []grpc.DialOption
	for range 3 { // gRPC appends them, so that there is room behind the last one
		more = append(more, grpc.WithDefaultCallOptions(grpc.WaitForReady(false)))
	}
	conn, err := client.Dial("passthrough:///127.0.0.1:1", more...)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{ // as generated code made them before it had options of its own
		"unary": func() error { return conn.Invoke(bounded(t), emptyCall, &testpb.Empty{}, &testpb.Empty{}) },
		"stream": func() error {
			_, err := conn.NewStream(bounded(t), &grpc.StreamDesc{ClientStreams: true}, inputCall)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			met, peers = new(sync.WaitGroup), nil
			met.Add(2)
			var calls sync.WaitGroup
			for range 2 {
				calls.Go(func() { _ = call() })
			}
			calls.Wait()
			if len(peers) != 2 || slices.Equal(peers[:1], peers[1:]) {
				t.Errorf("two calls report to %v", peers)
			}
		})
	}
}
