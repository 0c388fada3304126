package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Faulty is a gRPC proxy in front of an instance that makes it a sick one: slow
// or failing as a handler would be, with its connections and its health intact.
// It passes frames on without looking into them.
type Faulty struct {
	// Port is where clients connect.
	Port int

	server *grpc.Server
	conn   *grpc.ClientConn
	delay  atomic.Int64 // before each call
	fail   atomic.Int64 // of a million calls
}

// frame is a message that nobody decodes.
type frame struct{ data []byte }

// rawCodec passes frames on.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.(*frame).data, nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	v.(*frame).data = append([]byte(nil), data...)
	return nil
}

func (rawCodec) Name() string { return "proto" }

// NewFaulty forwards to a port from one of the system's choice. Close it.
func NewFaulty(upstream int) (*Faulty, error) { return newFaultyAt(0, upstream) }

// newFaultyAt listens on a port and forwards to another.
func newFaultyAt(port, upstream int) (*Faulty, error) {
	l, err := listen(port)
	if err != nil {
		return nil, fmt.Errorf("start the gRPC proxy: %w", err)
	}
	f := &Faulty{Port: l.Addr().(*net.TCPAddr).Port}
	f.conn, err = grpc.NewClient(fmt.Sprintf("passthrough:///127.0.0.1:%d", upstream), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the gRPC proxy: %w", err), l.Close())
	}
	f.server = grpc.NewServer(grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(f.forward), grpc.MaxConcurrentStreams(10_000))
	go func() { _ = f.server.Serve(l) }() // ends with the server
	return f, nil
}

// Slow delays every call.
func (f *Faulty) Slow(d time.Duration) { f.delay.Store(int64(d)) }

// Fail answers a share of the calls with UNAVAILABLE, half of them after they
// took effect.
func (f *Faulty) Fail(share float64) { f.fail.Store(int64(share * 1e6)) }

// Close ends the proxy and its connections.
func (f *Faulty) Close() {
	f.server.Stop()
	_ = f.conn.Close()
}

// forward passes one call on, with the faults that are set. Health is left
// alone: what the instance says of itself is right.
func (f *Faulty) forward(_ any, in grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(in)
	sick := !strings.HasPrefix(name, "/grpc.health.") && !strings.HasSuffix(name, "/WatchUsers") && !strings.HasSuffix(name, "/ImportUsers")
	fail := sick && rand.Int64N(1e6) < f.fail.Load() //nolint:gosec // no secret
	early := fail && rand.Int64N(2) == 0             //nolint:gosec // no secret
	if sick {
		if err := pause(in.Context(), time.Duration(f.delay.Load())); err != nil {
			return status.FromContextError(err).Err()
		}
	}
	if early {
		return errSick
	}
	err := f.relay(name, in, fail)
	if fail {
		return errSick
	}
	return err
}

// errSick is what a failing instance answers.
var errSick = status.Error(codes.Unavailable, "the lab makes this call fail")

// relay passes frames both ways until the instance has answered. A call that is
// to fail gets no frame of the answer: its handler has none to give.
func (f *Faulty) relay(name string, in grpc.ServerStream, fail bool) error {
	md, _ := metadata.FromIncomingContext(in.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(in.Context(), md.Copy()))
	defer cancel()
	out, err := f.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, name, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		return err
	}
	go func() { // ends with ctx
		for {
			var m frame
			if err := in.RecvMsg(&m); err != nil {
				if errors.Is(err, io.EOF) {
					_ = out.CloseSend()
				}
				return
			}
			if out.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for {
		var m frame
		if err := out.RecvMsg(&m); err != nil {
			in.SetTrailer(out.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if fail {
			continue
		}
		if err := in.SendMsg(&m); err != nil {
			return err
		}
	}
}
