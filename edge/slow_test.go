package edge_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// The heads of requests whose bodies are cut short in these tests.
const (
	postEcho = "POST /v1/EchoService:echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	postSend = "POST /v1/EchoService:send HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
	postChat = "POST /v1/EchoService:chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"

	counted = "Content-Length: 100\r\n\r\n"
	chunked = "Transfer-Encoding: chunked\r\n\r\n"
)

// ended is how a request ended that was answered over a connection by hand.
type ended struct {
	*http.Response
	lines []string // of the body
}

// wholly reads an answer to its end.
func wholly(t *testing.T, resp *http.Response) ended {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%d, after %q: %v", resp.StatusCode, text, err)
	}
	_ = resp.Body.Close()
	return ended{resp, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
}

// status returns the status that the body is, or that its last line holds.
func (e ended) status(t *testing.T) refusal {
	t.Helper()
	last := e.lines[len(e.lines)-1]
	if e.StatusCode != http.StatusOK {
		return refused(t, e.Response, last)
	}
	var line struct{ Status *refusal }
	if err := json.Unmarshal([]byte(last), &line); err != nil || line.Status == nil {
		t.Fatalf("the last line %q is no status: %v", last, err)
	}
	return *line.Status
}

func TestABodyThatDoesNotComeToItsEndIsAnswered(t *testing.T) {
	const short = 50 * time.Millisecond
	stalls := start(t, edge.Config{ReadTimeout: short, WriteTimeout: 40 * short})
	cuts := start(t, edge.Config{}) // what a client breaks off is told from a stall however late it comes
	for name, c := range map[string]struct {
		sent   string
		then   string // sent when a result is there
		closed bool   // the client sends no more, and says so
		code   int
		reason string
		says   string
	}{
		"a body that stalls":                 {postEcho + counted + "{", "", false, 408, "REQUEST_TIMEOUT", "edge.read_timeout"},
		"a body that does not begin":         {postEcho + counted, "", false, 408, "REQUEST_TIMEOUT", ""},
		"chunks that stall":                  {postEcho + chunked + "1\r\n{\r\n", "", false, 408, "REQUEST_TIMEOUT", ""},
		"a chunk that stalls":                {postEcho + chunked + "800\r\n{", "", false, 408, "REQUEST_TIMEOUT", ""},
		"a chunk's length that stalls":       {postEcho + chunked + "1", "", false, 408, "REQUEST_TIMEOUT", ""},
		"a body that is cut":                 {postEcho + counted + "{", "", true, 400, "UPLOAD_BROKEN", "send it whole"},
		"chunks that are cut":                {postEcho + chunked + "1\r\n{\r\n", "", true, 400, "UPLOAD_BROKEN", ""},
		"chunks that are none":               {postEcho + chunked + "1\r\n{\r\noops\r\n", "", false, 400, "UPLOAD_BROKEN", ""},
		"an upload that stalls":              {postSend + chunked + "1\r\n{\r\n", "", false, 408, "REQUEST_TIMEOUT", "line 1: "},
		"an upload that stalls after a line": {postSend + chunked + "4\r\n{}\n{\r\n", "", false, 408, "REQUEST_TIMEOUT", "line 2: "},
		"an upload that stalls, by length":   {postSend + counted + "{", "", false, 408, "REQUEST_TIMEOUT", ""},
		"an upload that is cut":              {postSend + chunked + "1\r\n{\r\n", "", true, 400, "UPLOAD_BROKEN", ""},
		"an upload that is cut after a line": {postSend + chunked + "3\r\n{}\n\r\n", "", true, 400, "UPLOAD_BROKEN", "line 2: "},
		"an upload that is cut, by length":   {postSend + counted + "{}\n", "", true, 400, "UPLOAD_BROKEN", ""},
		"an upload of chunks that are none":  {postSend + chunked + "3\r\n{}\n\r\noops\r\n", "", false, 400, "UPLOAD_BROKEN", ""},
		"results, then a stall":              {postChat + chunked + "3\r\n{}\n\r\n", "1\r\n{\r\n", false, 200, "REQUEST_TIMEOUT", "line 2: "},
		"results, then a cut":                {postChat + chunked + "3\r\n{}\n\r\n", "1\r\n{\r\n", true, 200, "UPLOAD_BROKEN", "line 2: "},
		"results, then a cut after a line":   {postChat + chunked + "3\r\n{}\n\r\n", "", true, 200, "UPLOAD_BROKEN", "line 2: "},
		"results, then chunks that are none": {postChat + chunked + "3\r\n{}\n\r\n", "oops\r\n", false, 200, "UPLOAD_BROKEN", "line 2: "},
		"results, then no JSON":              {postChat + chunked + "3\r\n{}\n\r\n", "2\r\n{\n\r\n", false, 200, "INVALID_JSON", "line 2, column 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := cuts
			if c.reason == "REQUEST_TIMEOUT" {
				r = stalls
			}
			conn := raw(t, r.Address(), c.sent)
			in := bufio.NewReader(conn)
			lines := 1
			if c.code == http.StatusOK {
				lines = 2
				if _, err := in.Peek(1); err != nil {
					t.Fatalf("there is no result: %v", err)
				}
				_, _ = io.WriteString(conn, c.then) // the answer tells
			}
			if tcp, ok := conn.(*net.TCPConn); ok && c.closed {
				_ = tcp.CloseWrite() // as above
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatalf("there is no answer: %v", err)
			}
			e := wholly(t, resp)
			if got := e.status(t); e.StatusCode != c.code || got.reason() != c.reason || !strings.Contains(got.Message, c.says) || len(e.lines) != lines {
				t.Errorf("%d %q, want %d %s with %q in %d lines", e.StatusCode, e.lines, c.code, c.reason, c.says, lines)
			}
			if c.code != http.StatusOK && (!e.Close || e.Header.Get("Content-Type") != "application/json") {
				t.Errorf("the header is %v, close: %t", e.Header, e.Close)
			}
			if more, err := io.ReadAll(in); len(more) > 0 || err != nil && !isReset(err) {
				t.Errorf("after the answer: %q, %v", more, err)
			}
		})
	}
}

func TestABodyThatStallsIsAnsweredOverHTTP2(t *testing.T) {
	const short = 50 * time.Millisecond
	r := start(t, edge.Config{H2C: true, ReadTimeout: short, WriteTimeout: 40 * short})
	c := client(t, true)
	for name, test := range map[string]struct {
		path, media, sent string
		code              int
	}{
		"a body":                 {"/v1/EchoService:echo", "application/json", "{", 408},
		"an upload":              {"/v1/EchoService:send", "application/x-ndjson", "{", 408},
		"an upload with results": {"/v1/EchoService:chat", "application/x-ndjson", "{}\n{", 200},
	} {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			defer func() { _ = out.Close() }()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url(r, "%s", test.path), in)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", test.media)
			go func() { _, _ = io.WriteString(out, test.sent) }() // the pipe is closed in the end
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			e := wholly(t, resp)
			if got := e.status(t); e.StatusCode != test.code || got.reason() != "REQUEST_TIMEOUT" {
				t.Errorf("%d %q", e.StatusCode, e.lines)
			}
		})
	}
	if resp, _ := do(t, c, http.MethodGet, url(r, "/openapi.json"), ""); resp.StatusCode != http.StatusOK {
		t.Errorf("the connection is not good for more: %d", resp.StatusCode)
	}
}

func TestAClientThatGoesLeavesNothing(t *testing.T) {
	r := start(t, edge.Config{H2C: true})
	for name, head := range map[string]string{
		"within a body":       postEcho + counted + "{",
		"within an upload":    postSend + chunked + "4\r\n{}\n{\r\n",
		"between two results": postChat + chunked + "3\r\n{}\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn := raw(t, r.Address(), head)
			keelsontest.Eventually(t, "the request is there", func() bool { return r.counted(t, "keelson_edge_in_flight_requests") == 1 })
			tcp, _ := conn.(*net.TCPConn)
			_ = tcp.SetLinger(0) // it goes without a word
			_ = conn.Close()
			keelsontest.Eventually(t, "nothing is left of it", func() bool {
				return r.counted(t, "keelson_edge_in_flight_requests") == 0 && r.counted(t, "grpc_server_open_streams") == 0
			})
		})
	}
	t.Run("over HTTP/2", func(t *testing.T) {
		in, out := io.Pipe()
		defer func() { _ = out.Close() }()
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url(r, "/v1/EchoService:chat"), in)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-ndjson")
		go func() { _, _ = io.WriteString(out, "{}\n") }() // as above
		resp, err := client(t, true).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = resp.Body.Close()
		keelsontest.Eventually(t, "nothing is left of it", func() bool { return r.counted(t, "keelson_edge_in_flight_requests") == 0 })
	})
}
