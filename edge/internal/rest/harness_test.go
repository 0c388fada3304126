package rest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
)

// streamFunc is the handler of a method of the library.
type streamFunc func(s *serverStream) error

// server is a gRPC server with the methods of the library, each a function.
type server struct {
	t       testing.TB
	service protoreflect.ServiceDescriptor
	router  *rest.Router
	url     string

	mu      sync.Mutex
	methods map[string]streamFunc
}

// serverStream is a call as a handler sees it.
type serverStream struct {
	grpc.ServerStream
	method protoreflect.MethodDescriptor
}

// recv receives one message.
func (s *serverStream) recv() (*dynamicpb.Message, error) {
	m := dynamicpb.NewMessage(s.method.Input())
	return m, s.RecvMsg(m)
}

// send sends a message given as JSON.
func (s *serverStream) send(text string) error {
	m := dynamicpb.NewMessage(s.method.Output())
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		return err
	}
	return s.SendMsg(m)
}

// newServer starts a router for the library, on a real listener.
func newServer(t testing.TB, adjust ...func(*rest.Config)) *server {
	t.Helper()
	s := &server{t: t, service: libraryService(t), methods: map[string]streamFunc{}}
	g := grpc.NewServer(grpc.UnknownServiceHandler(s.handle))
	c := rest.Config{Services: []protoreflect.ServiceDescriptor{s.service}, Handler: g, Opening: 30 * time.Second}
	for _, a := range adjust {
		a(&c)
	}
	var err error
	if s.router, err = rest.New(c); err != nil {
		t.Fatalf("make the router: %v", err)
	}
	front := httptest.NewServer(s.router)
	s.url = front.URL
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		front.Close()
		g.Stop()
	})
	return s
}

func (s *server) handle(_ any, ss grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(ss)
	name := full[strings.LastIndexByte(full, '/')+1:]
	s.mu.Lock()
	f := s.methods[name]
	s.mu.Unlock()
	return f(&serverStream{ss, s.service.Methods().ByName(protoreflect.Name(name))})
}

// on sets the handler of a method.
func (s *server) on(method string, f streamFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.methods[method] = f
}

// answer sets a unary method's answer, and returns where its last request is.
func (s *server) answer(method, answer string, err error) *dynamicpb.Message {
	got := dynamicpb.NewMessage(s.service.Methods().ByName(protoreflect.Name(method)).Input())
	s.on(method, func(ss *serverStream) error {
		in, failed := ss.recv()
		if failed != nil {
			return failed
		}
		s.mu.Lock()
		proto.Reset(got)
		proto.Merge(got, in)
		s.mu.Unlock()
		if err != nil {
			return err
		}
		return ss.send(answer)
	})
	return got
}

// reply is an answer over HTTP.
type reply struct {
	*http.Response
	body string
}

// json returns the body decoded.
func (r *reply) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(r.body), &m); err != nil {
		t.Fatalf("the body %q is no JSON object: %v", r.body, err)
	}
	return m
}

// reason returns the reason of the ErrorInfo in the body.
func (r *reply) reason(t testing.TB) string {
	t.Helper()
	for _, d := range list(r.json(t)["details"]) {
		if d["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" {
			reason, _ := d["reason"].(string)
			return reason
		}
	}
	return ""
}

// fields returns the field violations in the body: field to description.
func (r *reply) fields(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, d := range list(r.json(t)["details"]) {
		for _, v := range list(d["fieldViolations"]) {
			field, _ := v["field"].(string)
			all[field], _ = v["description"].(string)
		}
	}
	return all
}

func list(v any) []map[string]any {
	var all []map[string]any
	items, _ := v.([]any)
	for _, item := range items {
		m, _ := item.(map[string]any)
		all = append(all, m)
	}
	return all
}

// request makes a request; headers are pairs. A body that is not empty is JSON
// unless a header says otherwise.
func (s *server) request(method, path, body string, headers ...string) *http.Request {
	s.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, s.url+path, r)
	if err != nil {
		s.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header[headers[i]] = append([]string(nil), headers[i+1])
	}
	return req
}

// do makes a request and reads the whole answer.
func (s *server) do(method, path, body string, headers ...string) *reply {
	s.t.Helper()
	return s.read(s.request(method, path, body, headers...))
}

func (s *server) read(req *http.Request) *reply {
	s.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: read the answer: %v", req.Method, req.URL, err)
	}
	return &reply{resp, string(body)}
}

// small makes a router that takes 100 bytes.
func small(c *rest.Config) { c.MaxRequest = 100 }

// zipped returns a text compressed.
func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// text returns a message as compact JSON.
func text(t testing.TB, m proto.Message) string {
	t.Helper()
	raw, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
