package edge_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/edge"
)

// smuggled is a request within the rest of a body.
const smuggled = "GET /openapi.json HTTP/1.1\r\nHost: smuggled\r\n\r\n"

func TestTheRestOfABodyIsNeverARequest(t *testing.T) {
	const short = 100 * time.Millisecond
	r := start(t, edge.Config{ReadTimeout: short, WriteTimeout: 20 * short})
	const post = " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: "
	for name, head := range map[string]string{
		"an upload that is half a line":  "POST /v1/EchoService:send" + post + "application/x-ndjson\r\n\r\n1\r\n{\r\n",
		"an upload that is refused":      "POST /v1/EchoService:send" + post + "application/x-ndjson\r\n\r\n3\r\n{]\n\r\n",
		"an upload that goes both ways":  "POST /v1/EchoService:chat" + post + "application/x-ndjson\r\n\r\n6\r\n{}\n{]\n\r\n",
		"a body that stops":              "POST /v1/EchoService:echo" + post + "application/json\r\n\r\n800\r\n{",
		"a body for nobody":              "POST /nowhere" + post + "application/json\r\n\r\n800\r\n{",
		"a message of Connect":           "POST /" + echoService + "/Echo" + post + "application/json\r\n\r\n800\r\n{",
		"half a message of gRPC-Web":     "POST /" + echoService + "/Echo" + post + "application/grpc-web\r\n\r\n800\r\n\x00\x00",
		"a stream of gRPC-Web that ends": "POST /" + echoService + "/Chat" + post + "application/grpc-web\r\n\r\n800\r\n\x07\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := raw(t, r.Address(), head)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				if !isReset(err) {
					t.Fatal(err)
				}
				return // the connection is gone, and with it what was left
			}
			_, _ = io.Copy(io.Discard, resp.Body) // it may break off
			_ = resp.Body.Close()
			for range 50 { // more than the buffers of the server hold, if it still listens
				if _, err := io.WriteString(conn, strings.Repeat("\r\n", 2)+smuggled); err != nil {
					break
				}
			}
			if more, _ := io.ReadAll(in); len(more) > 0 {
				t.Errorf("after %d, what was left is answered: %.100q", resp.StatusCode, more)
			}
		})
	}
	if n := r.counted(t, "keelson_edge_requests_total", "protocol", "openapi"); n != 0 {
		t.Errorf("%v requests were served that nobody made", n)
	}
}

func TestABodyThatNobodyWantedLeavesTheConnectionOpen(t *testing.T) {
	r := start(t, edge.Config{})
	conn := raw(t, r.Address(), "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"+smuggled)
	in := bufio.NewReader(conn)
	for _, want := range []int{http.StatusNotFound, http.StatusOK} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // it is there
		_ = resp.Body.Close()
		if resp.StatusCode != want || resp.Close {
			t.Errorf("%d, close: %t", resp.StatusCode, resp.Close)
		}
	}
}

func TestAnAnswerToABodyThatBrokeOffSaysThatItIsTheLast(t *testing.T) {
	r := start(t, edge.Config{ReadTimeout: 50 * time.Millisecond, WriteTimeout: 2 * time.Second})
	for _, media := range []string{"application/json", "application/x-ndjson"} {
		verb := map[string]string{"application/json": "echo", "application/x-ndjson": "send"}[media]
		conn := raw(t, r.Address(), "POST /v1/EchoService:"+verb+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+media+"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if !resp.Close {
			t.Errorf("%s: %d %v", media, resp.StatusCode, resp.Header)
		}
	}
}
