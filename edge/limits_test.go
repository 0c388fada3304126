package edge_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// refusal is an error that the edge makes itself, in JSON.
type refusal struct {
	Code    codes.Code
	Message string
	Details []struct {
		Type   string `json:"@type"`
		Reason string
	}
}

func refused(t *testing.T, resp *http.Response, text string) refusal {
	t.Helper()
	var r refusal
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatalf("%d %q: %v", resp.StatusCode, text, err)
	}
	if resp.Header.Get(edge.CorrelationHeader) == "" {
		t.Error("the answer has no correlation ID")
	}
	return r
}

func (r refusal) reason() string {
	for _, d := range r.Details {
		if d.Reason != "" {
			return d.Reason
		}
	}
	return ""
}

func TestWhatNothingServesIsAStatus(t *testing.T) {
	r := start(t, edge.Config{})
	c := client(t, false)
	resp, text := do(t, c, http.MethodGet, url(r, "/nowhere"), "", edge.CorrelationHeader, "mine-1")
	if got := refused(t, resp, text); resp.StatusCode != http.StatusNotFound || got.Code != codes.NotFound || got.reason() != edge.ReasonRouteNotFound {
		t.Errorf("%d %+v", resp.StatusCode, got)
	}
	if got := resp.Header.Get(edge.CorrelationHeader); got != "mine-1" {
		t.Errorf("correlation ID %q", got)
	}
	resp, text = do(t, c, http.MethodGet, url(r, "/nowhere"), "", "Accept", "application/problem+json")
	var problem struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal([]byte(text), &problem); err != nil || problem.Status != http.StatusNotFound || problem.Detail == "" ||
		resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%v %s", err, text)
	}
	keelsontest.Eventually(t, "the refusal is counted and told", func() bool {
		return r.counted(t, "keelson_edge_refused_total", "reason", "unknown") == 2 &&
			r.counted(t, "keelson_edge_requests_total", "protocol", "other", "code", "NOT_FOUND") == 2 && strings.Contains(r.log.String(), "mine-1")
	})
}

func TestAMethodThatIsNotThereIsUnimplemented(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	for _, path := range []string{"/" + echoService + "/Nothing", "/nobody.Service/Nothing"} {
		for _, w := range []struct{ media, want string }{
			{"application/grpc-web+proto", ""},
			{"application/grpc-web-text", ""},
			{"application/connect+json", `"unimplemented"`},
			{"application/json", `"unimplemented"`},
		} {
			t.Run(path+" "+w.media, func(t *testing.T) {
				header := []string{"Content-Type", w.media}
				if !strings.Contains(path, echoService) { // of a service that is known no more has to be said
					header = append(header, "Connect-Protocol-Version", "1")
				}
				resp, text := do(t, client(t, false), http.MethodPost, url(r, "%s", path), "", header...)
				if w.want == "" {
					if got := status.Code(statusOf(t, resp.Header)); got != codes.Unimplemented {
						t.Errorf("%s: %s", got, text)
					}
				} else if !strings.Contains(text, w.want) {
					t.Errorf("%d %s", resp.StatusCode, text)
				}
			})
		}
	}
	if n := r.counted(t, "grpc_server_handled_total", "grpc_method", "unknown"); n != 4 {
		t.Errorf("the service accounted for %v calls of unknown methods", n)
	}
}

func TestGRPCOverHTTP1IsToldWhatItNeeds(t *testing.T) {
	r := start(t, edge.Config{})
	resp, text := do(t, client(t, false), http.MethodPost, url(r, "/%s/Echo", echoService), "", "Content-Type", "application/grpc")
	if got := refused(t, resp, text); resp.StatusCode != http.StatusHTTPVersionNotSupported || got.reason() != edge.ReasonHTTPVersion || !strings.Contains(got.Message, "edge.h2c") {
		t.Errorf("%d %+v", resp.StatusCode, got)
	}
	conn := raw(t, r.Address(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	answer, _ := io.ReadAll(conn)
	if !strings.Contains(string(answer), "edge.h2c") {
		t.Errorf("HTTP/2 in plaintext, which is off, is answered with %q", answer)
	}
}

func TestALateCallIsNotBegun(t *testing.T) {
	r := startServing(t, config(), edge.Config{}, func(any, grpc.ServerStream) error {
		t.Error("the handler ran")
		return nil
	})
	conn := raw(t, r.Address(), strings.Replace(postEcho, "Host", "X-Server-Timeout: 0.000000001\r\nHost", 1)+"Content-Length: 2\r\n\r\n{}")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(body), "DEADLINE_EXCEEDED") {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
}

func TestALargeBodyIsRefused(t *testing.T) {
	r := start(t, edge.Config{MaxBody: 1000})
	body := `{"payload":{"body":"` + strings.Repeat("A", 2000) + `"}}`
	resp, text := do(t, client(t, false), http.MethodPost, url(r, "/v1/EchoService:echo"), body, "Content-Type", "application/json")
	if got := refused(t, resp, text); resp.StatusCode != http.StatusRequestEntityTooLarge || got.Code != codes.ResourceExhausted || got.reason() != edge.ReasonRequestTooLarge {
		t.Errorf("%d %+v", resp.StatusCode, got)
	}
}

func TestALargeMessageIsRefusedInEveryProtocol(t *testing.T) {
	r := start(t, edge.Config{MaxBody: 1000})
	message, err := proto.Marshal(&grpc_testing.SimpleRequest{Payload: &grpc_testing.Payload{Body: make([]byte, 2000)}})
	if err != nil {
		t.Fatal(err)
	}
	text := `{"payload":{"body":"` + strings.Repeat("A", 2000) + `"}}`
	framed := func(m string) string {
		return "\x00" + string(binary.BigEndian.AppendUint32(nil, uint32(len(m)))) + m //nolint:gosec // it is short
	}
	for name, c := range map[string]struct{ method, media, body string }{
		"Connect":             {"Echo", "application/proto", string(message)},
		"Connect JSON":        {"Echo", "application/json", text},
		"Connect stream JSON": {"List", "application/connect+json", framed(text)},
		"gRPC-Web JSON":       {"Echo", "application/grpc-web+json", framed(text)},
	} {
		for how, length := range map[string]int64{"by length": int64(len(c.body)), "in chunks": -1} {
			t.Run(name+" "+how, func(t *testing.T) {
				before := r.counted(t, "keelson_edge_refused_total", "reason", "size")
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url(r, "/%s/%s", echoService, c.method), strings.NewReader(c.body))
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = length
				req.Header.Set("Content-Type", c.media)
				resp, err := client(t, false).Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				answer, err := io.ReadAll(resp.Body)
				said := string(answer) + fmt.Sprint(resp.Header, resp.Trailer)
				if err != nil || !strings.Contains(said, "larger than the 1000 bytes that are taken (edge.max_body)") {
					t.Errorf("%d %s, %v", resp.StatusCode, said, err)
				}
				if n := r.counted(t, "keelson_edge_refused_total", "reason", "size"); n != before+1 {
					t.Errorf("%v were counted", n-before)
				}
			})
		}
	}
}

func TestABodyThatGrowsIsBounded(t *testing.T) {
	of := config()
	of.GRPC.MaxReceive, of.GRPC.MaxSend = 64<<10, 64<<10
	r := startWith(t, of, edge.Config{H2C: true})
	var bomb strings.Builder
	z := gzip.NewWriter(&bomb)
	_, _ = io.CopyN(z, zeros{}, 1<<20)
	_ = z.Close()
	_, text := do(t, client(t, true), http.MethodPost, url(r, "/%s/Echo", echoService), bomb.String(), "Content-Type", "application/json", "Content-Encoding", "gzip", "Connect-Protocol-Version", "1")
	if !strings.Contains(text, "resource_exhausted") {
		t.Errorf("%s", text)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAHeaderHasABound(t *testing.T) {
	r := start(t, edge.Config{MaxHeader: 4 << 10})
	conn := raw(t, r.Address(), "GET / HTTP/1.1\r\nHost: x\r\nX-A: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestSlowClientsAreCut(t *testing.T) {
	r := start(t, edge.Config{HeaderTimeout: 50 * time.Millisecond, ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond})
	for name, text := range map[string]string{
		"a header that does not end":        "POST / HTTP/1.1\r\nHost: x\r\n",
		"nothing":                           "",
		"a connection without a request":    "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n",
		"a body that does not come":         "POST /v1/EchoService:echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"a message of Connect":              "POST /" + echoService + "/Echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"half a message of gRPC-Web":        "POST /" + echoService + "/Echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 100\r\n\r\n\x00\x00",
		"a body for nobody":                 "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
		"half a line of an upload":          "POST /v1/EchoService:send HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"chunks that stop in a long number": "POST /v1/EchoService:echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := raw(t, r.Address(), text)
			if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) { // ends when the server closes
				t.Error(err)
			}
		})
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

func TestAClientThatDoesNotReadIsCut(t *testing.T) {
	r := start(t, edge.Config{WriteTimeout: 100 * time.Millisecond})
	body := string(inJSON(t, many(1<<30, says(strings.Repeat("x", 1<<16)))))
	raw(t, r.Address(), "POST /v1/EchoService:list HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "+decimal(len(body))+"\r\n\r\n"+body)
	keelsontest.Eventually(t, "the client is cut", func() bool {
		return r.counted(t, "keelson_edge_refused_total", "reason", "slow_write") >= 1 && r.counted(t, "keelson_edge_in_flight_requests") == 0
	})
}

func TestAStreamOutlivesTheTimeouts(t *testing.T) {
	const short = 200 * time.Millisecond
	r := start(t, edge.Config{H2C: true, ReadTimeout: short, WriteTimeout: short, IdleTimeout: short})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := dial(t, r.Address()).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+echoService+"/Chat")
	if err == nil {
		err = s.SendMsg(says("x"))
	}
	var m response
	if err == nil {
		err = s.RecvMsg(&m)
	}
	if err != nil {
		t.Fatal(err)
	}
	silence, over := context.WithTimeout(ctx, 2*short)
	defer over()
	<-silence.Done() // neither end says anything
	cancel()
	if err := s.RecvMsg(&m); status.Code(err) != codes.Canceled {
		t.Errorf("the stream ended with %v before its client ended it", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	for name, cfg := range map[string]edge.Config{
		"connections":             {MaxConnections: 2},
		"connections_per_address": {MaxConnectionsPerAddress: 2},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, cfg)
			first := raw(t, r.Address(), "")
			raw(t, r.Address(), "")
			keelsontest.Eventually(t, "two are open", func() bool { return r.counted(t, "keelson_edge_connections") == 2 })
			if _, err := raw(t, r.Address(), "").Read(make([]byte, 1)); err == nil {
				t.Error("a third connection is served")
			}
			_ = first.Close()
			keelsontest.Eventually(t, "there is room again", func() bool { return r.counted(t, "keelson_edge_connections") == 1 })
			if resp, _ := do(t, client(t, false), http.MethodGet, url(r, "/docs"), ""); resp.StatusCode != http.StatusOK {
				t.Errorf("%d", resp.StatusCode)
			}
			if n := r.counted(t, "keelson_edge_refused_total", "reason", name); n != 1 {
				t.Errorf("%v refusals", n)
			}
		})
	}
}

func TestLargeAnswersAreCompressed(t *testing.T) {
	r := start(t, edge.Config{}, edge.WithHandler("/small", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "small") })))
	c := client(t, false)
	tr, _ := c.Transport.(*http.Transport)
	tr.DisableCompression = true
	for _, test := range []struct{ path, accept, want string }{
		{"/openapi.json", "br, gzip", "gzip"},
		{"/docs", "gzip;q=0.5", "gzip"},
		{"/openapi.json", "gzip;q=0", ""},
		{"/openapi.json", "", ""},
		{"/small", "gzip", ""},
	} {
		resp, text := do(t, c, http.MethodGet, url(r, "%s", test.path), "", "Accept-Encoding", test.accept)
		if got := resp.Header.Get("Content-Encoding"); got != test.want {
			t.Errorf("%s for %q: %q", test.path, test.accept, got)
		}
		if test.want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := io.ReadAll(z); err != nil || len(plain) <= len(text) {
				t.Errorf("%d bytes of %d: %v", len(text), len(plain), err)
			}
		}
	}
}
