package call

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
)

// schemaTimeout bounds the question what a server serves.
const schemaTimeout = 10 * time.Second

// Options say what to call, with what, and how to show the answer.
type Options struct {
	// Target, Method and Input are the arguments; see [ResolveTarget],
	// [FindMethod] and [OpenInput]. Without Input, streams from the client read
	// standard input and others send the empty message.
	Target, Method string
	Input          *string
	// Headers are "name: value"; values of names that end in -bin are base64.
	Headers []string
	// Deadline is the longest that the call may take; 0: as its policy says.
	Deadline time.Duration
	// DescriptorSet names a file that is used instead of reflection.
	DescriptorSet string
	// Defaults shows fields that have their default value.
	Defaults bool
	// Verbose shows headers, trailers and the peer.
	Verbose bool
	// Security is how the connection is made.
	Security Security

	In       io.Reader
	Out, Err io.Writer
}

// session is one call.
type session struct {
	opts     Options
	conn     *grpc.ClientConn
	schema   *Schema
	method   protoreflect.MethodDescriptor
	in       *Input
	bar      *progress
	out      *printer
	corr     string
	cancel   context.CancelCauseFunc
	header   metadata.MD
	trailer  metadata.MD
	peer     peer.Peer
	metadata metadata.MD
}

// Run makes the call. What went wrong with it is shown on Err, and the error is
// then an [ExitError] with the exit code.
func Run(ctx context.Context, opts Options) error {
	s := &session{opts: opts, corr: call.NewCorrelationID()}
	var err error
	if s.metadata, err = parseHeaders(opts.Headers); err != nil {
		return err
	}
	if given := s.metadata.Get(call.CorrelationKey); len(given) > 0 {
		s.corr = given[0]
	}
	s.metadata.Set(call.CorrelationKey, s.corr)
	t, err := ResolveTarget(opts.Target, opts.Security)
	if err != nil {
		return err
	}
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	closeConns, err := s.connect(ctx, t)
	defer closeConns()
	if err != nil {
		return s.ended(ctx, err)
	}
	if s.in, err = s.open(); err != nil {
		return err
	}
	defer func() { _ = s.in.Close() }()
	timed := metadata.NewOutgoingContext(ctx, s.metadata)
	if opts.Deadline > 0 { // the call's own: asking for the schema is not part of it
		var cancel context.CancelFunc
		timed, cancel = context.WithTimeout(timed, opts.Deadline)
		defer cancel()
	}
	return s.ended(ctx, s.invoke(timed))
}

// connect asks for the schema and finds the method. The call itself then has a
// client of its own, which knows the policy that the method's contract declares.
func (s *session) connect(ctx context.Context, t Target) (closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, f := range closers {
			f()
		}
	}
	// Nobody wants to wait for a server that is not there.
	soon := grpc.WithDefaultCallOptions(grpc.WaitForReady(false))
	dial := func(opts ...keelson.Option) (*grpc.ClientConn, error) {
		log := io.Discard
		if s.opts.Verbose {
			log = s.opts.Err
		}
		client, err := keelson.NewClient("keelson", t.Config, append(opts, keelson.WithLogOutput(log))...)
		if err != nil {
			return nil, err
		}
		closers = append(closers, func() { _ = client.Close() })
		return client.Dial(t.Dial, soon)
	}
	if s.opts.DescriptorSet != "" {
		s.schema, err = ReadDescriptorSet(s.opts.DescriptorSet)
	} else {
		var conn *grpc.ClientConn
		if conn, err = dial(); err == nil {
			s.schema, err = reflectWithin(ctx, conn)
		}
	}
	if err != nil {
		return closeAll, err
	}
	closers = append([]func(){s.schema.Close}, closers...)
	if s.method, err = FindMethod(s.opts.Method, s.schema.Services); err != nil {
		return closeAll, err
	}
	s.conn, err = dial(keelson.WithDescriptors(s.method.Parent().(protoreflect.ServiceDescriptor))) //nolint:forcetypeassert // methods are declared in services
	return closeAll, err
}

// reflectWithin reads the schema within schemaTimeout; later questions, for the
// types of what is in an Any, have the call's own time.
func reflectWithin(ctx context.Context, conn *grpc.ClientConn) (*Schema, error) {
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(schemaTimeout, cancel)
	schema, err := Reflect(ctx, conn)
	switch late := !timer.Stop(); {
	case late && schema != nil:
		schema.Close()
		fallthrough
	case late:
		cancel()
		return nil, status.Errorf(codes.DeadlineExceeded, "the server did not say within %s what it serves", schemaTimeout)
	case err != nil:
		cancel()
		return nil, err
	}
	end := schema.close
	schema.close = func() { end(); cancel() }
	return schema, nil
}

// open opens the input that the method is given.
func (s *session) open() (*Input, error) {
	switch {
	case s.opts.Input != nil:
		return OpenInput(*s.opts.Input, s.opts.In)
	case s.method.IsStreamingClient():
		if isTerminal(s.opts.In) {
			fmt.Fprintf(s.opts.Err, "reading messages (%s), one JSON per line; Ctrl-D ends them\n", s.method.Input().FullName())
		}
		return OpenInput("-", s.opts.In)
	default:
		return OpenInput("{}", s.opts.In)
	}
}

// invoke makes the call, whatever its kind.
func (s *session) invoke(ctx context.Context) error {
	streams := s.method.IsStreamingClient() || s.method.IsStreamingServer()
	var barTo io.Writer
	if streams && isTerminal(s.opts.Err) && !(s.in.slow && isTerminal(s.opts.In)) {
		barTo = s.opts.Err
	}
	s.bar = newProgress(barTo, s.in.size)
	defer s.bar.stop()
	erase := func() {}
	if isTerminal(s.opts.Out) {
		erase = s.bar.erase
	}
	format := protojson.MarshalOptions{EmitDefaultValues: s.opts.Defaults, Resolver: s.schema.types}
	s.out = newPrinter(s.opts.Out, format, !s.method.IsStreamingServer(), erase, func(error) { s.cancel(errOutputClosed) })
	defer s.out.close()
	if streams {
		return s.stream(ctx)
	}
	return s.unary(ctx)
}

func (s *session) unary(ctx context.Context) error {
	raw, err := s.in.All()
	if err != nil {
		return err
	}
	request, response := dynamicpb.NewMessage(s.method.Input()), dynamicpb.NewMessage(s.method.Output())
	if err := s.in.Decode(raw, request, s.schema.types); err != nil {
		return err
	}
	if err := s.conn.Invoke(ctx, FullName(s.method), request, response, s.callOptions()...); err != nil {
		return err
	}
	return s.out.print(response)
}

// callOptions collect what --verbose shows.
func (s *session) callOptions() []grpc.CallOption {
	return []grpc.CallOption{grpc.Header(&s.header), grpc.Trailer(&s.trailer), grpc.Peer(&s.peer)}
}

// ended shows how the call ended, and makes the exit code of it.
func (s *session) ended(ctx context.Context, err error) error {
	if s.opts.Verbose {
		s.showMetadata()
	}
	var bad *inputError
	isBad := errors.As(err, &bad)
	switch {
	case err == nil:
		return nil
	case errors.Is(context.Cause(ctx), errOutputClosed):
		return nil
	case isBad && bad.sent == 0:
		return &ExitError{Code: 1, Err: bad}
	case errors.Is(ctx.Err(), context.Canceled):
		return err // a signal: the caller knows which
	}
	st, ok := statusOf(err)
	if ok {
		WriteFailure(s.opts.Err, st, s.corr, s.resolver())
		s.showCounts()
	}
	switch {
	case isBad:
		return &ExitError{Code: 1, Err: bad}
	case ok:
		return &ExitError{Code: ExitCode(st.Code())}
	}
	return err
}

// showCounts says how far a stream came that broke.
func (s *session) showCounts() {
	if s.bar == nil || s.bar.sent.Load()+s.bar.received.Load() == 0 {
		return
	}
	fmt.Fprintf(s.opts.Err, "  the stream broke after %s messages sent and %s received\n", thousands(s.bar.sent.Load()), thousands(s.bar.received.Load()))
}

func (s *session) resolver() types {
	if s.schema == nil {
		return protoregistry.GlobalTypes
	}
	return s.schema.types
}

// statusOf returns the status of an error that a call ended with.
func statusOf(err error) (*status.Status, bool) {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.GRPCStatus(), true
	}
	var other interface{ GRPCStatus() *status.Status }
	if errors.As(err, &other) {
		return other.GRPCStatus(), true
	}
	return nil, false
}

func (s *session) showMetadata() {
	if s.peer.Addr != nil {
		fmt.Fprintf(s.opts.Err, "peer        %s\n", s.peer.Addr)
	}
	fmt.Fprintf(s.opts.Err, "correlation %s\n", s.corr)
	for _, part := range []struct {
		name string
		md   metadata.MD
	}{{"header", s.header}, {"trailer", s.trailer}} {
		for _, k := range sortedKeys(part.md) {
			for _, v := range part.md[k] {
				if strings.HasSuffix(k, "-bin") {
					v = base64.StdEncoding.EncodeToString([]byte(v))
				}
				fmt.Fprintf(s.opts.Err, "%-11s %s: %s\n", part.name, k, v)
			}
		}
	}
}

func sortedKeys(md metadata.MD) []string {
	flat := make(map[string]string, len(md))
	for k := range md {
		flat[k] = ""
	}
	return sorted(flat)
}

// parseHeaders reads "name: value"s.
func parseHeaders(headers []string) (metadata.MD, error) {
	md := metadata.MD{}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("the header %q is not name: value", h)
		}
		if strings.HasPrefix(name, "grpc-") {
			return nil, fmt.Errorf("the header %q: names that begin with grpc- are gRPC's own; for a deadline give --deadline", h)
		}
		if strings.HasSuffix(name, "-bin") {
			raw, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("the header %s: values of names that end in -bin are base64: %w", name, err)
			}
			value = string(raw)
		}
		md.Append(name, value)
	}
	return md, nil
}

// isTerminal tells whether people sit at the other end.
func isTerminal(v any) bool {
	f, ok := v.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) //nolint:gosec // descriptors are small
}
