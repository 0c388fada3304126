package keelson

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/grpcx"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/metrics"
)

// server is the receiving half of a service: it wraps every handler so that
// one record accounts for each call, from before its request is decoded until
// after its answer was written.
type server struct {
	*core
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor

	draining  chan struct{}           // closed when streams are told to end
	cut       context.Context         // ends when they had their time
	endCut    context.CancelCauseFunc // ends cut
	stopping  sync.WaitGroup          // the graceful stop
	lastCall  atomic.Int64            // when a call began last, Unix nanoseconds
	streams   atomic.Int64            // open streams
	trailers  sync.Pool               // metadata.MD with one correlation ID
	reception *grpcx.Reception

	exposing sync.Mutex // held while the next line is changed
	exposed  atomic.Pointer[map[string]*exposed]
}

func newServer(c *core) *server {
	s := &server{core: c, unary: chainUnary(c.opts.unary), stream: chainStream(c.opts.stream), draining: make(chan struct{})}
	s.reception = grpcx.NewReception(c.opts.frames, int(c.cfg.GRPC.MaxReceive))
	s.cut, s.endCut = context.WithCancelCause(context.Background())
	s.exposed.Store(&map[string]*exposed{})
	return s
}

// method is everything about one method, resolved when it is registered.
type method struct {
	*server
	policy  *policy.Method
	metrics *metrics.Method
	unary   grpc.MethodHandler
	stream  grpc.StreamHandler

	forwards bool // gRPC does not know the method, and takes all of them for streams both ways
}

// wrap returns the description of a service whose handlers are ours around the
// given ones. Unary methods become streams of one message each way, which is
// how gRPC runs them: it lets the wrapper see requests that do not decode and
// answers that do not fit.
func (s *server) wrap(desc *grpc.ServiceDesc) *grpc.ServiceDesc {
	if d := serviceDescriptor(desc.ServiceName); d != nil {
		s.table.Add(d)
	}
	wrapped := *desc
	wrapped.Methods, wrapped.Streams = nil, nil
	for _, d := range desc.Methods {
		m := s.method(desc.ServiceName, d.MethodName, policy.Unary)
		m.unary = d.Handler
		wrapped.Streams = append(wrapped.Streams, grpc.StreamDesc{StreamName: d.MethodName, Handler: m.serve})
	}
	for _, d := range desc.Streams {
		m := s.method(desc.ServiceName, d.StreamName, policy.KindOf(d.ClientStreams, d.ServerStreams))
		m.stream = d.Handler
		d.Handler = m.serve
		wrapped.Streams = append(wrapped.Streams, d)
	}
	return &wrapped
}

func (s *server) method(service, name string, kind policy.Kind) *method {
	p := s.table.AddMethod(service, name, kind)
	return &method{server: s, policy: p, metrics: s.tel.served.For(p)}
}

// unknown answers calls to methods that gRPC does not know: those of exposed
// services, and the rest as the one method unknown.
func (s *server) unknown() grpc.StreamHandler {
	p := s.table.Unknown()
	m := &method{server: s, policy: p, metrics: s.tel.served.For(p), forwards: true}
	m.stream = func(_ any, ss grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(ss)
		return errs.Unimplemented(errs.ReasonMethodUnknown, "this server has no method %q; its methods are listed by gRPC reflection", name)
	}
	return func(srv any, ss grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(ss)
		if e := s.forwarded(name); e != nil {
			return e.serve(srv, ss)
		}
		return m.serve(srv, ss)
	}
}

func serviceDescriptor(name string) protoreflect.ServiceDescriptor {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	s, _ := d.(protoreflect.ServiceDescriptor)
	return s
}

// checkHandler reports an implementation that does not fit, which grpc-go would
// end the process for.
func checkHandler(desc *grpc.ServiceDesc, impl any) error {
	if impl == nil || desc.HandlerType == nil {
		return nil
	}
	want := reflect.TypeOf(desc.HandlerType).Elem()
	if got := reflect.TypeOf(impl); !got.Implements(want) {
		return fmt.Errorf("register %s: %v does not implement %v", desc.ServiceName, got, want)
	}
	return nil
}
