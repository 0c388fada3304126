package edge_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
	policyv1 "github.com/keelson-dev/keelson/proto/keelson/policy/v1"
)

// feed describes a service with one stream that can be resumed: an event's ID is the
// answer's username, and a request goes on after its own.
func feed(t testing.TB) protoreflect.ServiceDescriptor {
	t.Helper()
	o := &descriptorpb.MethodOptions{}
	proto.SetExtension(o, annotations.E_Http, &annotations.HttpRule{Pattern: &annotations.HttpRule_Get{Get: "/v1/feed:watch"}})
	proto.SetExtension(o, policyv1.E_Method, &policyv1.MethodPolicy{Resume: &policyv1.Resume{ResponseField: "username", RequestField: "response_size"}})
	f, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: proto.String("edgetest/feed.proto"), Package: proto.String("edgetest.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"grpc/testing/messages.proto", "google/api/annotations.proto", "keelson/policy/v1/policy.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Feed"), Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Watch"), InputType: proto.String(".grpc.testing.SimpleRequest"), OutputType: proto.String(".grpc.testing.SimpleResponse"),
			ServerStreaming: proto.Bool(true), Options: o,
		}}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return f.Services().Get(0)
}

// watched is an event stream that is open.
type watched struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Reader
}

// watch opens a stream.
func watch(t *testing.T, c *http.Client, address string, header ...string) *watched {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &watched{t, resp, bufio.NewReader(resp.Body)}
}

// next returns what is sent next, up to an empty line.
func (w *watched) next() string {
	w.t.Helper()
	var b strings.Builder
	for {
		line, err := w.in.ReadString('\n')
		if err != nil {
			w.t.Fatalf("after %q: %v", b.String()+line, err)
		}
		if line == "\n" {
			return b.String()
		}
		b.WriteString(line)
	}
}

func TestEventsPassTheEdgeAsTheyCome(t *testing.T) {
	const short = 200 * time.Millisecond
	next := make(chan string)
	from := make(chan int32, 1)
	r := start(t, edge.Config{H2C: true, ReadTimeout: short, WriteTimeout: short, IdleTimeout: short})
	err := r.service.Expose("edgetest.v1.Feed", feed(t), func(_ any, ss grpc.ServerStream) error {
		s := stream{ss}
		m, err := s.receive()
		if err != nil {
			return err
		}
		from <- m.GetResponseSize()
		for text := range next {
			if err := ss.SendMsg(&grpc_testing.SimpleResponse{Username: text}); err != nil {
				return err
			}
		}
		return errs.Draining("9")
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			next = make(chan string)
			w := watch(t, client(t, h2), url(r, "/v1/feed:watch?responseSize=3"), "Last-Event-ID", "7", "Accept", "text/event-stream", "Accept-Encoding", "gzip")
			if got := <-from; got != 7 {
				t.Errorf("the stream goes on after %d", got)
			}
			for k, want := range map[string]string{
				"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Encoding": "", "Content-Length": "",
			} {
				if got := w.resp.Header.Get(k); got != want {
					t.Errorf("%s is %q, want %q", k, got, want)
				}
			}
			if got := w.next(); got != "retry: 2000\n" {
				t.Errorf("it begins with %q", got)
			}
			silence, over := context.WithTimeout(t.Context(), 2*short)
			defer over()
			<-silence.Done() // beyond every timeout
			next <- "8"
			if got := w.next(); got != "id: 8\nevent: message\ndata: {\"username\":\"8\"}\n" {
				t.Errorf("%q", got)
			}
			close(next)
			if got := w.next(); !strings.HasPrefix(got, "id: 9\nevent: error\ndata: {\"code\":14,\"message\":") || !strings.Contains(got, `"reason":"DRAINING"`) {
				t.Errorf("the last event is %q", got)
			}
			if more, err := io.ReadAll(w.in); len(more) > 0 || err != nil {
				t.Errorf("after the last event: %q, %v", more, err)
			}
		})
	}
	if n := r.counted(t, "keelson_edge_requests_total", "protocol", "rest", "code", errs.CodeName(codes.Unavailable)); n != 2 {
		t.Errorf("%v streams ended as their clients were told", n)
	}
}

func TestADeadlineEndsAnUploadThatStalls(t *testing.T) {
	r := start(t, edge.Config{})
	for name, c := range map[string]struct {
		sent  string
		code  int
		lines int
	}{
		"before any result":  {strings.Replace(postSend, "Host", "X-Server-Timeout: 0.05\r\nHost", 1) + chunked + "1\r\n{\r\n", http.StatusGatewayTimeout, 1},
		"after some of them": {strings.Replace(postChat, "Host", "X-Server-Timeout: 2\r\nHost", 1) + chunked + "4\r\n{}\n{\r\n", http.StatusOK, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp, err := http.ReadResponse(bufio.NewReader(raw(t, r.Address(), c.sent)), nil)
			if err != nil {
				t.Fatal(err)
			}
			e := wholly(t, resp)
			if got := e.status(t); e.StatusCode != c.code || got.Code != codes.DeadlineExceeded || got.reason() != errs.ReasonDeadlineExceeded || len(e.lines) != c.lines {
				t.Errorf("%d %q", e.StatusCode, e.lines)
			}
		})
	}
}
