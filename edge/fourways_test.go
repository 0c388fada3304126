package edge_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

type (
	request  = grpc_testing.SimpleRequest
	response = grpc_testing.SimpleResponse
)

// outcome is what a call comes to, whichever way it was made.
type outcome struct {
	Answers []string // bodies
	Code    codes.Code
	Message string
	Details []string // type and bytes; by REST those types alone that nobody knows
}

// way makes calls in one protocol.
type way struct {
	name string
	call func(ctx context.Context, method string, in []*request) outcome
}

func ways(t *testing.T, r *running) []way {
	t.Helper()
	all := []way{
		{"gRPC", func(ctx context.Context, method string, in []*request) outcome {
			return byGRPC(ctx, dial(t, r.Address()), method, in)
		}},
		{"gRPC-Web text", func(ctx context.Context, method string, in []*request) outcome {
			return byText(ctx, t, r, method, in)
		}},
	}
	for _, c := range []struct {
		name string
		opts []connect.ClientOption
	}{
		{"gRPC-Web", []connect.ClientOption{connect.WithGRPCWeb()}},
		{"gRPC-Web JSON", []connect.ClientOption{connect.WithGRPCWeb(), connect.WithProtoJSON()}},
		{"gRPC-Web gzip", []connect.ClientOption{connect.WithGRPCWeb(), connect.WithSendGzip()}},
		{"Connect", nil},
		{"Connect JSON", []connect.ClientOption{connect.WithProtoJSON()}},
		{"Connect gzip", []connect.ClientOption{connect.WithProtoJSON(), connect.WithSendGzip()}},
		{"Connect GET", []connect.ClientOption{connect.WithHTTPGet(), connect.WithIdempotency(connect.IdempotencyNoSideEffects)}},
	} {
		all = append(all, way{c.name, func(ctx context.Context, method string, in []*request) outcome {
			return byConnect(ctx, connect.NewClient[request, response](client(t, true), url(r, "/%s/%s", echoService, method), c.opts...), method, in)
		}})
	}
	return append(all, way{"REST", func(ctx context.Context, method string, in []*request) outcome { return byREST(ctx, t, r, method, in) }})
}

func byGRPC(ctx context.Context, conn *grpc.ClientConn, method string, in []*request) outcome {
	desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	s, err := conn.NewStream(ctx, desc, "/"+echoService+"/"+method)
	for _, m := range in {
		if err == nil {
			err = s.SendMsg(m)
		}
	}
	if s == nil {
		return failed(err)
	}
	_ = s.CloseSend()
	var out outcome
	for {
		var m response
		if err := s.RecvMsg(&m); err != nil {
			out.fail(err)
			return out
		}
		out.Answers = append(out.Answers, string(m.GetPayload().GetBody()))
	}
}

func failed(err error) outcome {
	var out outcome
	out.fail(err)
	return out
}

func (o *outcome) fail(err error) {
	if err == nil || errors.Is(err, io.EOF) {
		return
	}
	var ce *connect.Error
	if !errors.As(err, &ce) {
		o.status(status.Convert(err).Proto())
		return
	}
	o.Code, o.Message = codes.Code(ce.Code()), ce.Message()
	for _, d := range ce.Details() {
		o.Details = append(o.Details, fmt.Sprintf("%s %x", d.Type(), d.Bytes()))
	}
}

func (o *outcome) status(p *spb.Status) {
	o.Code, o.Message = codes.Code(p.GetCode()), p.GetMessage() //nolint:gosec // a code
	for _, d := range p.GetDetails() {
		o.Details = append(o.Details, fmt.Sprintf("%s %x", strings.TrimPrefix(d.GetTypeUrl(), "type.googleapis.com/"), d.GetValue()))
	}
}

func byConnect(ctx context.Context, c *connect.Client[request, response], method string, in []*request) outcome {
	id, _ := metadata.FromOutgoingContext(ctx)
	set := func(h http.Header) { h.Set(edge.CorrelationHeader, id.Get(edge.CorrelationHeader)[0]) }
	var out outcome
	keep := func(m *response) { out.Answers = append(out.Answers, string(m.GetPayload().GetBody())) }
	switch method {
	case "List":
		req := connect.NewRequest(in[0])
		set(req.Header())
		s, err := c.CallServerStream(ctx, req)
		if err != nil {
			return failed(err)
		}
		defer func() { _ = s.Close() }()
		for s.Receive() {
			keep(s.Msg())
		}
		out.fail(s.Err())
	case "Send":
		s := c.CallClientStream(ctx)
		set(s.RequestHeader())
		for _, m := range in {
			_ = s.Send(m)
		}
		resp, err := s.CloseAndReceive()
		if err == nil {
			keep(resp.Msg)
		}
		out.fail(err)
	case "Chat":
		s := c.CallBidiStream(ctx)
		set(s.RequestHeader())
		for _, m := range in {
			_ = s.Send(m)
		}
		_ = s.CloseRequest()
		defer func() { _ = s.CloseResponse() }()
		for {
			m, err := s.Receive()
			if err != nil {
				out.fail(err)
				return out
			}
			keep(m)
		}
	default:
		req := connect.NewRequest(in[0])
		set(req.Header())
		resp, err := c.CallUnary(ctx, req)
		if err == nil {
			keep(resp.Msg)
		}
		out.fail(err)
	}
	return out
}

// byText speaks gRPC-Web in text by hand: each message is base64 of its own, so that
// padding stands in the middle.
func byText(ctx context.Context, t *testing.T, r *running, method string, in []*request) outcome {
	t.Helper()
	var body bytes.Buffer
	for _, m := range in {
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		body.WriteString(base64.StdEncoding.EncodeToString(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(raw))), raw...))) //nolint:gosec // small
	}
	id, _ := metadata.FromOutgoingContext(ctx)
	resp, text := do(t, client(t, true), http.MethodPost, url(r, "/%s/%s", echoService, method), body.String(),
		"Content-Type", "application/grpc-web-text", edge.CorrelationHeader, id.Get(edge.CorrelationHeader)[0])
	if got := resp.Header.Get("Content-Type"); got != "application/grpc-web-text+proto" && got != "application/grpc-web-text" {
		t.Errorf("content type %q", got)
	}
	var out outcome
	trailer := resp.Header
	for raw := decodeText(t, text); len(raw) > 0; {
		size := binary.BigEndian.Uint32(raw[1:])
		frame := raw[5 : 5+size]
		if raw[0]&0x80 != 0 {
			trailer = http.Header{}
			for _, line := range strings.Split(strings.TrimSpace(string(frame)), "\r\n") {
				k, v, _ := strings.Cut(line, ":")
				trailer.Set(k, strings.TrimSpace(v))
			}
		} else {
			var m response
			if err := proto.Unmarshal(frame, &m); err != nil {
				t.Fatal(err)
			}
			out.Answers = append(out.Answers, string(m.GetPayload().GetBody()))
		}
		raw = raw[5+size:]
	}
	out.fail(statusOf(t, trailer))
	return out
}

// decodeText decodes base64 with padding anywhere.
func decodeText(t *testing.T, text string) []byte {
	t.Helper()
	var raw []byte
	for len(text) > 0 {
		part, err := base64.StdEncoding.DecodeString(text[:4])
		if err != nil {
			t.Fatalf("%q: %v", text[:4], err)
		}
		raw, text = append(raw, part...), text[4:]
	}
	return raw
}

func statusOf(t *testing.T, h http.Header) error {
	t.Helper()
	if h.Get("Grpc-Status") == "" {
		t.Fatalf("there is no status in %v", h)
	}
	var p spb.Status
	if details := h.Get("Grpc-Status-Details-Bin"); details != "" {
		raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(details, "="))
		if err == nil {
			err = proto.Unmarshal(raw, &p)
		}
		if err != nil {
			t.Fatal(err)
		}
	} else {
		_, _ = fmt.Sscan(h.Get("Grpc-Status"), &p.Code)
		p.Message = h.Get("Grpc-Message")
	}
	return status.ErrorProto(&p)
}

func byREST(ctx context.Context, t *testing.T, r *running, method string, in []*request) outcome {
	t.Helper()
	id, _ := metadata.FromOutgoingContext(ctx)
	header := []string{edge.CorrelationHeader, id.Get(edge.CorrelationHeader)[0]}
	verb, path, body := http.MethodPost, ":"+strings.ToLower(method), ""
	switch method {
	case "Read":
		verb, path = http.MethodGet, fmt.Sprintf("/read?payload.body=%s&responseStatus.code=%d&responseStatus.message=%s",
			base64.URLEncoding.EncodeToString(in[0].GetPayload().GetBody()), in[0].GetResponseStatus().GetCode(), in[0].GetResponseStatus().GetMessage())
	case "Send", "Chat":
		header = append(header, "Content-Type", "application/x-ndjson", "Accept", "application/x-ndjson")
		for _, m := range in {
			body += string(inJSON(t, m)) + "\n"
		}
	case "List":
		header = append(header, "Content-Type", "application/json", "Accept", "application/x-ndjson")
		body = string(inJSON(t, in[0]))
	default:
		header = append(header, "Content-Type", "application/json")
		body = string(inJSON(t, in[0]))
	}
	resp, text := do(t, client(t, true), verb, url(r, "/v1/EchoService%s", path), body, header...)
	var out outcome
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		out.line(t, resp.StatusCode, []byte(line))
	}
	return out
}

func inJSON(t *testing.T, m proto.Message) []byte {
	t.Helper()
	raw, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		t.Fatal(err)
	}
	return compact.Bytes()
}

// line takes one answer of REST: a message, or a status, which in lines is what ends
// them.
func (o *outcome) line(t *testing.T, httpStatus int, line []byte) {
	t.Helper()
	var any struct {
		Payload struct{ Body []byte }
		Status  json.RawMessage
		Code    codes.Code
		Message string
		Details []json.RawMessage
	}
	if err := json.Unmarshal(line, &any); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	switch {
	case any.Status != nil:
		o.line(t, http.StatusInternalServerError, any.Status)
	case httpStatus < http.StatusBadRequest:
		o.Answers = append(o.Answers, string(any.Payload.Body))
	default:
		o.Code, o.Message = any.Code, any.Message
		for _, d := range any.Details {
			o.Details = append(o.Details, restDetail(d))
		}
	}
}

// restDetail is the type of a detail, and its bytes where the type is known.
func restDetail(text []byte) string {
	var d anypb.Any
	if err := protojson.Unmarshal(text, &d); err == nil {
		return fmt.Sprintf("%s %x", d.MessageName(), d.GetValue())
	}
	var typed struct {
		Type string `json:"@type"`
	}
	_ = json.Unmarshal(text, &typed) // it is compared
	return strings.TrimPrefix(typed.Type, "type.googleapis.com/")
}

func says(body string) *request {
	return &request{Payload: &grpc_testing.Payload{Body: []byte(body)}}
}

func fails(code codes.Code, how string) *request {
	return &request{ResponseStatus: &grpc_testing.EchoStatus{Code: int32(code), Message: how}} //nolint:gosec // a code
}

func many(n int32, m *request) *request {
	m.ResponseSize = n
	return m
}

func TestACallSaysTheSameWhicheverWayItComes(t *testing.T) {
	of := config()
	of.GRPC.MaxReceive = 64 << 10
	r := startWith(t, of, edge.Config{H2C: true})
	type test struct {
		name, method string
		in           []*request
	}
	tests := []test{
		{"unary", "Echo", []*request{says("a")}},
		{"empty", "Echo", []*request{{Payload: &grpc_testing.Payload{}}}},
		{"safe", "Read", []*request{says("b")}},
		{"server stream", "List", []*request{many(3, says("c"))}},
		{"server stream of none", "List", []*request{says("c")}},
		{"client stream", "Send", []*request{says("d"), says("e")}},
		{"both", "Chat", []*request{says("f"), says("g")}},
		{"fields", "Echo", []*request{fails(codes.InvalidArgument, "fields")}},
		{"retry", "Echo", []*request{fails(codes.Unavailable, "retry")}},
		{"a detail that nobody knows", "Echo", []*request{fails(codes.FailedPrecondition, "strange")}},
		{"large details", "Echo", []*request{fails(codes.Aborted, "large")}},
		{"too large", "Echo", []*request{says(strings.Repeat("x", 70_000))}},
		{"far too large", "Echo", []*request{says(strings.Repeat("x", 1<<20))}},
		{"too large in a stream", "Send", []*request{says(strings.Repeat("x", 70_000))}},
		{"far too large in a stream", "Chat", []*request{says("j"), says(strings.Repeat("x", 1<<20))}},
		{"error of a safe method", "Read", []*request{fails(codes.NotFound, "gone")}},
		{"error after messages", "List", []*request{many(2, fails(codes.DataLoss, "fields"))}},
		{"error in an upload", "Send", []*request{says("h"), fails(codes.OutOfRange, "fields")}},
		{"error in a conversation", "Chat", []*request{says("i"), fails(codes.Aborted, "retry")}},
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		tests = append(tests, test{code.String(), "Echo", []*request{fails(code, "message of "+code.String())}})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var want outcome
			var told map[string]float64
			for i, w := range ways(t, r) {
				if skips(w.name, test.method, test.name) {
					continue
				}
				ctx := outgoing(t.Context(), "same-id")
				before := r.telemetry(t, test.method)
				got := w.call(ctx, test.method, test.in)
				line := r.grown(t, before, test.method)
				if w.name == "REST" {
					want = want.asREST()
				}
				if strings.HasPrefix(got.Message, "grpc: received message ") { // gRPC's own words have sizes
					got.Message, got.Details = "too large", nil // gRPC answers before the service could add any
				}
				if i == 0 {
					want, told = got, line
					continue
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s differs from gRPC (-gRPC +%s):\n%s", w.name, w.name, diff)
				}
				if diff := cmp.Diff(told, line); diff != "" {
					t.Errorf("the telemetry of %s differs from gRPC's (-gRPC +%s):\n%s", w.name, w.name, diff)
				}
			}
		})
	}
}

// skips tells what a way does not have: Connect's GET is for methods that are safe,
// and the edge itself refuses what is larger than edge.max_body where it decodes
// bodies, or where the body is the message.
func skips(way, method, test string) bool {
	switch {
	case way == "Connect GET" && method != "Read":
		return true
	case strings.HasPrefix(test, "far too large"):
		whole := way == "Connect" && method == "Echo"
		return whole || way == "REST" || strings.HasSuffix(way, "JSON") || way == "Connect gzip" && method == "Echo"
	}
	return false
}

// asREST leaves out what JSON cannot say of details that nobody knows.
func (o outcome) asREST() outcome {
	for i, d := range o.Details {
		if name, _, _ := strings.Cut(d, " "); name == "nobody.knows.It" {
			o.Details[i] = name
		}
	}
	return o
}

// telemetry is what the service has counted of a method, and how many lines.
func (r *running) telemetry(t *testing.T, method string) map[string]float64 {
	t.Helper()
	all := map[string]float64{"lines": float64(strings.Count(r.log.String(), `"message":"`+method+" "))}
	families := r.gather(t)
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		all["handled "+code.String()] = sum(families, "grpc_server_handled_total", []string{"grpc_service", echoService, "grpc_method", method, "grpc_code", code.String()})
	}
	for _, name := range []string{"grpc_server_started_total", "grpc_server_msg_sent_total"} {
		all[name] = sum(families, name, []string{"grpc_service", echoService, "grpc_method", method})
	}
	return all
}

// grown is what a call has added, once it is accounted for.
func (r *running) grown(t *testing.T, before map[string]float64, method string) map[string]float64 {
	t.Helper()
	var grown map[string]float64
	keelsontest.Eventually(t, "the call is accounted for", func() bool {
		grown = map[string]float64{}
		handled := 0.0
		for k, v := range r.telemetry(t, method) {
			if d := v - before[k]; d != 0 {
				grown[k] = d
			}
			if strings.HasPrefix(k, "handled") {
				handled += v - before[k]
			}
		}
		return handled > 0 && grown["lines"] > 0
	})
	return grown
}

// framed is a message as a protocol frames it.
func framed(t *testing.T, media string, m proto.Message) string {
	t.Helper()
	raw := inJSON(t, m)
	if !strings.HasSuffix(media, "json") {
		var err error
		if raw, err = proto.Marshal(m); err != nil {
			t.Fatal(err)
		}
	}
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(raw))), raw...) //nolint:gosec // small
	if strings.Contains(media, "text") {
		return base64.StdEncoding.EncodeToString(frame)
	}
	return string(frame)
}
