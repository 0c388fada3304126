package edge_test

import (
	"bufio"
	"fmt"
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

// A body that comes whole although nobody wants it: more than net/http reads of it
// after the answer.
func TestTheRestOfALargeBodyIsNeverARequest(t *testing.T) {
	r := start(t, edge.Config{MaxBody: 1 << 10})
	const size = 1 << 20
	filler := strings.Repeat("\r\n", size/4) + strings.Repeat(smuggled, size/2/len(smuggled))
	filler += strings.Repeat(" ", size-len(filler))
	lengths := map[string]struct{ header, body string }{
		"by length": {fmt.Sprintf("Content-Length: %d\r\n\r\n", size), filler},
		"in chunks": {chunked, fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", size, filler)},
	}
	for name, c := range map[string]struct{ path, media string }{
		"Connect":                  {"/" + echoService + "/Echo", "application/json"},
		"Connect in binary":        {"/" + echoService + "/Echo", "application/proto"},
		"a stream of Connect":      {"/" + echoService + "/List", "application/connect+json"},
		"an upload of Connect":     {"/" + echoService + "/Chat", "application/connect+proto"},
		"gRPC-Web":                 {"/" + echoService + "/Echo", "application/grpc-web"},
		"gRPC-Web in text":         {"/" + echoService + "/Echo", "application/grpc-web-text"},
		"gRPC-Web in JSON":         {"/" + echoService + "/List", "application/grpc-web+json"},
		"REST":                     {"/v1/EchoService:echo", "application/json"},
		"an upload of REST":        {"/v1/EchoService:send", "application/x-ndjson"},
		"lines both ways":          {"/v1/EchoService:chat", "application/x-ndjson"},
		"a type that is not taken": {"/" + echoService + "/Echo", "text/plain"},
		"a method that is not":     {"/" + echoService + "/None", "application/proto"},
		"nothing":                  {"/nowhere", "application/json"},
		"the description":          {"/openapi.json", "application/json"},
	} {
		for how, l := range lengths {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				conn := raw(t, r.Address(), "POST "+c.path+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+c.media+"\r\n"+l.header)
				written := make(chan struct{})
				go func() {
					defer close(written)
					_, _ = io.WriteString(conn, l.body) // the server may have gone
				}()
				in := bufio.NewReader(conn)
				resp, err := http.ReadResponse(in, nil)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body) // it may break off
					_ = resp.Body.Close()
					<-written
					_, _ = io.WriteString(conn, strings.Repeat("\r\n", 2)+"GET /docs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
					if next, err := http.ReadResponse(in, nil); err == nil {
						if _ = next.Body.Close(); next.StatusCode != http.StatusOK || next.Header.Get("Content-Type") == "application/json" {
							t.Errorf("after %d, what was left is answered: %d %v", resp.StatusCode, next.StatusCode, next.Header)
						}
					}
				} else if !isReset(err) {
					t.Error(err)
				}
				_ = conn.Close()
				<-written
			})
		}
	}
	if n := r.counted(t, "keelson_edge_requests_total", "protocol", "openapi", "method", "GET"); n != 0 {
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
