package edge_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/keelsontest"
)

const echoService = "edgetest.v1.EchoService"

// echo describes a service whose messages are those of gRPC's own tests, with rules
// for REST. Its Go types do not exist.
func echo(t testing.TB, name string) protoreflect.ServiceDescriptor {
	t.Helper()
	method := func(name, in, out string, client, server bool, level descriptorpb.MethodOptions_IdempotencyLevel, rule *annotations.HttpRule) *descriptorpb.MethodDescriptorProto {
		o := &descriptorpb.MethodOptions{IdempotencyLevel: &level}
		proto.SetExtension(o, annotations.E_Http, rule)
		return &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String(".grpc.testing." + in), OutputType: proto.String(".grpc.testing." + out),
			ClientStreaming: proto.Bool(client), ServerStreaming: proto.Bool(server), Options: o,
		}
	}
	post := func(path string) *annotations.HttpRule {
		return &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: path}, Body: "*"}
	}
	const once, safe = descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN, descriptorpb.MethodOptions_NO_SIDE_EFFECTS
	in, out := "SimpleRequest", "SimpleResponse"
	get := &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/" + name + "/read"}}
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("edgetest/" + name + ".proto"), Package: proto.String("edgetest.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"grpc/testing/messages.proto", "google/api/annotations.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String(name), Method: []*descriptorpb.MethodDescriptorProto{
			method("Echo", in, out, false, false, once, post("/v1/"+name+":echo")),
			method("Read", in, out, false, false, safe, get),
			method("List", in, out, false, true, once, post("/v1/"+name+":list")),
			method("Send", in, out, true, false, once, post("/v1/"+name+":send")),
			method("Chat", in, out, true, true, once, post("/v1/"+name+":chat")),
		}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return f.Services().Get(0)
}

type stream struct{ grpc.ServerStream }

func (s stream) receive() (*grpc_testing.SimpleRequest, error) {
	var m grpc_testing.SimpleRequest
	return &m, s.RecvMsg(&m)
}

func (s stream) send(m *grpc_testing.SimpleRequest) error {
	return s.SendMsg(&grpc_testing.SimpleResponse{Payload: m.GetPayload(), Username: m.GetResponseStatus().GetMessage()})
}

// serveEcho answers each message with what it held. A message with a response
// status asks for an error.
func serveEcho(_ any, ss grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(ss)
	s := stream{ss}
	switch name[strings.LastIndexByte(name, '/')+1:] {
	case "Echo", "Read":
		m, err := s.receive()
		if err == nil {
			err = failure(m)
		}
		if err != nil {
			return err
		}
		return s.send(m)
	case "List":
		return list(s)
	case "Send":
		return collect(s)
	default:
		return chat(s)
	}
}

// list sends as many messages as were asked for, and waits in the end when that is
// asked for too.
func list(s stream) error {
	m, err := s.receive()
	if err != nil {
		return err
	}
	for range m.GetResponseSize() {
		if err := s.send(m); err != nil {
			return err
		}
	}
	if m.GetFillUsername() {
		select {
		case <-keelson.Draining(s.Context()):
			return errs.Draining("token-7")
		case <-s.Context().Done():
		}
	}
	return failure(m)
}

func collect(s stream) error {
	all := &grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{}}
	for {
		m, err := s.receive()
		if errors.Is(err, io.EOF) {
			return s.send(all)
		}
		if err == nil {
			err = failure(m)
		}
		if err != nil {
			return err
		}
		all.Payload.Body = append(all.Payload.Body, m.GetPayload().GetBody()...)
	}
}

func chat(s stream) error {
	for {
		m, err := s.receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = failure(m)
		}
		if err == nil {
			err = s.send(m)
		}
		if err != nil {
			return err
		}
	}
}

// failure makes the error that a request asks for.
func failure(m *grpc_testing.SimpleRequest) error {
	st := m.GetResponseStatus()
	if st.GetCode() == 0 {
		return nil
	}
	e := errs.New(codes.Code(st.GetCode()), "TEST_REASON", "%s", st.GetMessage()) //nolint:gosec // a code
	switch st.GetMessage() {
	case "fields":
		return e.With(errs.Field("user.email", "EMAIL_TAKEN", "choose another é"), errs.Field("user.name", "TOO_LONG", "shorten it"))
	case "retry":
		return e.With(errs.RetryAfter(1500 * time.Millisecond))
	case "large":
		return e.With(errs.Meta("k", strings.Repeat("v", 8000)))
	case "strange":
		p := status.Convert(e.GRPCStatus().Err()).Proto()
		p.Details = append(p.Details, &anypb.Any{TypeUrl: "type.googleapis.com/nobody.knows.It", Value: []byte{10, 1, 'x'}})
		return errs.Verbatim(status.ErrorProto(p))
	}
	return e
}

// log collects a service's log.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// running is a service with an edge.
type running struct {
	*edge.Edge
	service *keelson.Service
	log     *log
	stop    func() error
}

// config is a service's for tests: it drains quickly.
func config() keelson.Config {
	var c keelson.Config
	c.GRPC.Address, c.Ops.Address, c.Debug.Address = "127.0.0.1:0", "off", "off"
	c.Drain = keelson.DrainConfig{Propagation: 50 * time.Millisecond, Quiet: 20 * time.Millisecond}
	c.Log.Format = "json"
	return c
}

// start runs the echo service behind an edge until the test ends.
func start(t testing.TB, cfg edge.Config, opts ...edge.Option) *running {
	t.Helper()
	return startWith(t, config(), cfg, opts...)
}

func startWith(t testing.TB, of keelson.Config, cfg edge.Config, opts ...edge.Option) *running {
	t.Helper()
	return startServing(t, of, cfg, serveEcho, opts...)
}

// startServing runs the methods of the echo service, as one handler serves them.
func startServing(t testing.TB, of keelson.Config, cfg edge.Config, h grpc.StreamHandler, opts ...edge.Option) *running {
	t.Helper()
	r := &running{log: &log{}}
	var err error
	if r.service, err = keelson.New("edgetest", of, keelson.WithFrames(), keelson.WithLogOutput(r.log), keelson.WithErrorDomain("edge.test")); err != nil {
		t.Fatal(err)
	}
	if err := r.service.Expose(echoService, echo(t, "EchoService"), h); err != nil {
		t.Fatal(err)
	}
	if cfg.Address == "" {
		cfg.Address = "127.0.0.1:0"
	}
	if cfg.Hosts == nil {
		cfg.Hosts = []string{"*"} // requests are made by hand
	}
	if r.Edge, err = edge.New(r.service, cfg, opts...); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	return r
}

func (r *running) run(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.service.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the service ended with %v", err)
		}
	})
	keelsontest.Eventually(t, "the service serves", func() bool { return strings.Contains(r.log.String(), `"serving"`) })
}

// client speaks HTTP/1.1, or HTTP/2 only.
func client(t testing.TB, h2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a test's own certificate
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	tr.Protocols.SetUnencryptedHTTP2(h2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// counted reads a metric of the service, summed over what the labels leave open.
func (r *running) counted(t testing.TB, name string, labels ...string) float64 {
	t.Helper()
	return sum(r.gather(t), name, labels)
}

func (r *running) gather(t testing.TB) []*dtoFamily {
	t.Helper()
	g, ok := r.service.Registerer().(interface {
		Gather() ([]*dtoFamily, error)
	})
	if !ok {
		t.Fatal("the registry cannot be read")
	}
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// dial opens a gRPC connection to an address in plaintext.
func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+address, plaintext(), grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw writes bytes to an address and returns the connection.
func raw(t testing.TB, address, text string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// do makes a request and reads its answer.
func do(t testing.TB, c *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

func outgoing(ctx context.Context, id string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, edge.CorrelationHeader, id)
}

func url(r *running, path string, args ...any) string {
	return "http://" + r.Address() + fmt.Sprintf(path, args...)
}
