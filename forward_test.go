package keelson_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// gate starts a service that serves nothing of its own.
func gate(t *testing.T) (*keelson.Service, *grpc.ClientConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s, err := keelson.New("gate", quiet(), keelson.WithListener(l), keelson.WithLogOutput(io.Discard), keelson.WithFrames())
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); must(t, <-done) })
	client, err := keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	conn, err := client.Dial(l.Addr().String())
	must(t, err)
	return s, conn
}

// strange builds a service whose types are not linked in: one unary method and
// one stream.
func strange(t *testing.T, file string) protoreflect.ServiceDescriptor {
	t.Helper()
	return strangeFile(t, file, nil)
}

// strangeWithin is strange with a deadline for its unary method.
func strangeWithin(t *testing.T, timeout time.Duration) protoreflect.ServiceDescriptor {
	t.Helper()
	opts := &descriptorpb.MethodOptions{}
	proto.SetExtension(opts, policyv1.E_Method, &policyv1.MethodPolicy{Timeout: durationpb.New(timeout)})
	return strangeFile(t, timeout.String(), opts)
}

func strangeFile(t *testing.T, name string, opts *descriptorpb.MethodOptions) protoreflect.ServiceDescriptor {
	t.Helper()
	m := func(name string, stream bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String(".strange.v1.Thing"), OutputType: proto.String(".strange.v1.Thing"),
			ServerStreaming: proto.Bool(stream),
		}
	}
	get := m("Get", false)
	get.Options = opts
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("strange/v1/" + name + ".proto"), Package: proto.String("strange.v1"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Thing")}},
		Service:     []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Strange"), Method: []*descriptorpb.MethodDescriptorProto{get, m("Watch", true)}}},
	}, nil)
	must(t, err)
	return file.Services().Get(0)
}

// echo answers each frame with itself and the method's name.
func echo(_ any, ss grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(ss)
	var in keelson.Frame
	if err := ss.RecvMsg(&in); err != nil {
		return err
	}
	if string(in.Bytes()) == "fail" {
		return errs.Verbatim(status.Error(codes.DataLoss, "as it came"))
	}
	c := call.From(ss.Context())
	return ss.SendMsg(keelson.NewFrame([]byte(c.Method.Kind.String() + " " + name + " " + string(in.Bytes()))))
}

// ask calls a method with bytes and returns the bytes of the first answer.
func ask(t *testing.T, conn *grpc.ClientConn, method, text string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	ss, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	must(t, err)
	must(t, ss.SendMsg(keelson.NewFrame([]byte(text))))
	must(t, ss.CloseSend())
	var out keelson.Frame
	if err := ss.RecvMsg(&out); err != nil {
		return "", err
	}
	return string(out.Bytes()), nil
}

func TestServicesAreExposedWithoutTheirTypes(t *testing.T) {
	s, plain := gate(t)
	client, err := keelson.NewClient("caller", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	conn, err := client.Dial(plain.Target(), keelson.RawFrames())
	must(t, err)

	before := s.Contract()
	if _, err := ask(t, conn, "/strange.v1.Strange/Get", "x"); status.Code(err) != codes.Unimplemented {
		t.Errorf("before it is exposed: %v", err)
	}
	must(t, s.Expose("strange.v1.Strange", nil, echo))
	if got, err := ask(t, conn, "/strange.v1.Strange/Whatever", "x"); err != nil || got != "server_stream /strange.v1.Strange/Whatever x" && got != "bidi_stream /strange.v1.Strange/Whatever x" {
		t.Errorf("without a descriptor: %q, %v", got, err)
	}
	must(t, s.Expose("strange.v1.Strange", strange(t, "a"), echo))
	for method, want := range map[string]string{"Get": "unary", "Watch": "server_stream"} {
		if got, err := ask(t, conn, "/strange.v1.Strange/"+method, "x"); err != nil || got != want+" /strange.v1.Strange/"+method+" x" {
			t.Errorf("%s: %q, %v", method, got, err)
		}
	}
	if _, err := ask(t, conn, "/strange.v1.Strange/Other", "x"); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that the descriptor does not have: %v", err)
	}
	if _, err := ask(t, conn, "/strange.v1.Strange/Get", "fail"); status.Code(err) != codes.DataLoss || !strings.Contains(err.Error(), "as it came") {
		t.Errorf("a status that passes verbatim: %v", err)
	}
	if c := s.Contract(); c == before || len(c.Services) != 1 || c.Services[0].FullName() != "strange.v1.Strange" {
		t.Errorf("contract %v", c.Services)
	}
	health := healthpb.NewHealthClient(conn)
	if r, err := health.Check(bounded(t), &healthpb.HealthCheckRequest{Service: "strange.v1.Strange"}); err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health: %v, %v", r, err)
	}
	s.Withdraw("strange.v1.Strange")
	s.Withdraw("strange.v1.Strange")
	if _, err := ask(t, conn, "/strange.v1.Strange/Get", "x"); status.Code(err) != codes.Unimplemented {
		t.Errorf("after it was withdrawn: %v", err)
	}
	if _, err := health.Check(bounded(t), &healthpb.HealthCheckRequest{Service: "strange.v1.Strange"}); status.Code(err) != codes.NotFound {
		t.Errorf("health after it was withdrawn: %v", err)
	}
	if c := s.Contract(); len(c.Services) != 0 {
		t.Errorf("contract %v", c.Services)
	}
}

func TestWhatCannotBeExposed(t *testing.T) {
	s, err := keelson.New("shop", quiet(), keelson.WithLogOutput(io.Discard))
	must(t, err)
	testpb.RegisterTestServiceServer(s, behaving(func(context.Context) error { return nil }))
	slow := strange(t, "b")
	for name, tc := range map[string]struct {
		service string
		desc    protoreflect.ServiceDescriptor
		handler grpc.StreamHandler
		want    string
	}{
		"a method":               {"/a.B/C", nil, echo, "no name of a service"},
		"nothing":                {"", nil, echo, "no name of a service"},
		"without a handler":      {"a.B", nil, nil, "no handler"},
		"another one's contract": {"a.B", slow, echo, "strange.v1.Strange"},
		"its own":                {"grpc.testing.TestService", nil, echo, "itself"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Expose(tc.service, tc.desc, tc.handler); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}

func TestADeadlineThatTheDrainCannotFollowIsNotExposed(t *testing.T) {
	cfg := quiet()
	cfg.Drain.Calls = 1e9 // less than the default deadline
	cfg.Policy.Timeout = 2e9
	s, err := keelson.New("shop", cfg, keelson.WithLogOutput(io.Discard))
	must(t, err)
	if err := s.Expose("strange.v1.Strange", strange(t, "c"), echo); err == nil || !strings.Contains(err.Error(), "drain.calls") {
		t.Errorf("%v", err)
	}
	if c := s.Contract(); len(c.Services) != 0 {
		t.Errorf("contract %v", c.Services)
	}
}

func TestReflectionShowsWhatIsExposed(t *testing.T) {
	s, conn := gate(t)
	must(t, s.Expose("strange.v1.Strange", strange(t, "d"), echo))
	ss, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(bounded(t))
	must(t, err)
	reflected := func(r *reflectionpb.ServerReflectionRequest) *reflectionpb.ServerReflectionResponse {
		must(t, ss.Send(r))
		answer, err := ss.Recv()
		must(t, err)
		return answer
	}
	list := reflected(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService()
	if !slices.ContainsFunc(list, func(r *reflectionpb.ServiceResponse) bool { return r.GetName() == "strange.v1.Strange" }) {
		t.Errorf("listed: %v", list)
	}
	for _, symbol := range []string{"strange.v1.Strange", "strange.v1.Thing", "strange.v1.Strange.Get", "grpc.health.v1.Health"} {
		r := reflected(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}})
		if len(r.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("%s: %v", symbol, r)
		}
	}
	must(t, ss.CloseSend())
	if _, err := ss.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the end: %v", err)
	}
}

func TestCallsFollowAContractThatChanges(t *testing.T) {
	s, plain := gate(t)
	conn, err := s.Dial(plain.Target(), keelson.RawFrames())
	must(t, err)
	must(t, s.Expose("strange.v1.Strange", strange(t, "e"), echo))
	timeout := func() string {
		if _, err := ask(t, conn, "/strange.v1.Strange/Get", "x"); err != nil {
			t.Fatal(err)
		}
		for _, state := range s.Targets() {
			for _, m := range state.Methods {
				if m.Method == "/strange.v1.Strange/Get" {
					return m.Timeout
				}
			}
		}
		return "not called"
	}
	if got := timeout(); got != "10s" {
		t.Errorf("the default deadline is %s", got)
	}
	must(t, s.Expose("strange.v1.Strange", strangeWithin(t, 3*time.Second), echo))
	if got := timeout(); got != "3s" {
		t.Errorf("the new deadline is %s, want 3s", got)
	}
}
