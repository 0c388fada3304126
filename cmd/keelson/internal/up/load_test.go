package up_test

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc/interop/grpc_testing"

	"github.com/keelson-dev/keelson"
)

// newLoad begins to call.
func newLoad(t *testing.T, registry string) *load {
	t.Helper()
	var cfg keelson.Config
	cfg.Discovery.Driver, cfg.Discovery.File.Dir = "file", registry
	client, err := keelson.NewClient("load", cfg, keelson.WithLogOutput(io.Discard))
	must(t, err)
	conn, err := client.Dial("echo")
	must(t, err)
	stub := grpc_testing.NewTestServiceClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, done: make(chan struct{})}
	l.last.Store("")
	go func() {
		defer close(l.done)
		defer func() { _ = client.Close() }()
		for ctx.Err() == nil {
			answer, err := stub.UnaryCall(context.Background(), &grpc_testing.SimpleRequest{})
			l.calls++
			if err != nil {
				l.failed = err
				continue
			}
			l.last.Store(answer.GetUsername())
		}
	}()
	t.Cleanup(func() { l.cancel(); <-l.done })
	return l
}

// end stops calling and says how it went.
func (l *load) end() (calls int, failed error) {
	l.cancel()
	<-l.done
	return l.calls, l.failed
}
