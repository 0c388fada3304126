package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// trickle sends one byte after another until the other end takes no more.
func trickle(t *testing.T, to io.Writer, text string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Error("it is taken for ever")
			return
		}
		if _, err := io.WriteString(to, text[i%len(text):][:1]); err != nil {
			return
		}
	}
}

func TestAClientThatSendsALittleNowAndThenIsCut(t *testing.T) {
	const short = 100 * time.Millisecond
	r := start(t, edge.Config{HeaderTimeout: short, ReadTimeout: short, WriteTimeout: short})
	for name, test := range map[string]struct{ head, more string }{
		"a header that never ends": {"GET /docs HTTP/1.1\r\nHost: x\r\n", "X-A: b\r\n"},
		"a request line":           {"GET /", "a"},
		"a body":                   {postEcho + "Content-Length: 1000000\r\n\r\n", " "},
		"chunks":                   {postEcho + chunked, "1\r\n \r\n"},
		"a message of gRPC-Web":    {"POST /" + echoService + "/Echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc-web\r\nContent-Length: 1000000\r\n\r\n\x00\x00\x0f\x00\x00", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := raw(t, r.Address(), test.head)
			go func() { _, _ = io.Copy(io.Discard, conn) }() // what it is told matters elsewhere
			trickle(t, conn, test.more)
		})
	}
}

func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	for _, most := range []int{1, 3} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			r := start(t, edge.Config{H2C: true, MaxStreams: most})
			w := speak(t, r.Address())
			settings := w.until(t, "the server's settings", func(f h2Frame) bool { return f.kind == frameSettings && len(f.payload) > 0 })
			told := false
			for p := settings.payload; len(p) >= 6; p = p[6:] {
				told = told || p[1] == 3 && p[5] == byte(most)
			}
			if !told {
				t.Errorf("the settings %x do not say %d streams", settings.payload, most)
			}
			head := post("/"+echoService+"/Chat", "content-type", "application/grpc", "te", "trailers")
			for i := range most + 1 {
				w.send(frameHeaders, endHeaders, uint32(2*i+1), head) //nolint:gosec // small
			}
			f := w.until(t, "a refusal", func(f h2Frame) bool { return f.kind == frameReset })
			if f.stream != uint32(2*most+1) || f.code() != errorRefusedStream { //nolint:gosec // small
				t.Errorf("stream %d is refused with %d", f.stream, f.code())
			}
			keelsontest.Eventually(t, "the others are served", func() bool { return r.counted(t, "keelson_edge_in_flight_requests") == float64(most) })
			w.send(frameData, endStream, 1, nil)
			w.until(t, "the first ends", func(f h2Frame) bool { return f.stream == 1 && f.flags&endStream != 0 })
			w.send(frameHeaders, endHeaders|endStream, uint32(2*most+3), head) //nolint:gosec // small
			w.until(t, "there is room again", func(f h2Frame) bool { return f.stream == uint32(2*most+3) && f.flags&endStream != 0 })
		})
	}
}

func TestStreamsThatAreResetAtOnceDoNotPileUp(t *testing.T) {
	const most = 2
	var serving, worst atomic.Int64
	leave := make(chan struct{})
	r := start(t, edge.Config{H2C: true, MaxStreams: most}, edge.WithHandler("/slow", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		worst.Store(max(worst.Load(), serving.Add(1)))
		<-leave
		serving.Add(-1)
	})))
	defer close(leave)
	w := speak(t, r.Address())
	go func() {
		head := post("/slow")
		for id := uint32(1); id < 20_000; id += 2 {
			if !w.send(frameHeaders, endHeaders, id, head) || !w.send(frameReset, 0, id, []byte{0, 0, 0, 8}) {
				return
			}
		}
	}()
	if code, said := w.ends(t); said && code != errorEnhanceYourCalm {
		t.Errorf("the connection ended with %d", code)
	}
	if n := worst.Load(); n > most {
		t.Errorf("%d requests were served at once, of %d", n, most)
	}
}

func TestAHeaderThatNeverEndsEndsTheConnection(t *testing.T) {
	const short = 100 * time.Millisecond
	t.Run("frames without an end", func(t *testing.T) {
		r := start(t, edge.Config{H2C: true, MaxHeader: 4 << 10})
		w := speak(t, r.Address())
		w.send(frameHeaders, 0, 1, post("/docs"))
		go func() {
			more := fields("x-a", strings.Repeat("a", 1<<10))
			for range 100_000 {
				if !w.send(frameContinuation, 0, 1, more) {
					return
				}
			}
		}()
		w.ends(t)
		if resp, _ := do(t, client(t, true), http.MethodGet, url(r, "/docs"), ""); resp.StatusCode != http.StatusOK {
			t.Errorf("another client is answered %d", resp.StatusCode)
		}
	})
	t.Run("silence within it", func(t *testing.T) {
		r := start(t, edge.Config{H2C: true, IdleTimeout: short, HeaderTimeout: short})
		w := speak(t, r.Address())
		w.send(frameHeaders, 0, 1, post("/docs"))
		w.ends(t)
	})
	t.Run("nothing after the preface", func(t *testing.T) {
		r := start(t, edge.Config{H2C: true, IdleTimeout: short, HeaderTimeout: short})
		speak(t, r.Address()).ends(t)
	})
	t.Run("half a preface", func(t *testing.T) {
		r := start(t, edge.Config{H2C: true, IdleTimeout: short, HeaderTimeout: short})
		if _, err := io.Copy(io.Discard, raw(t, r.Address(), "PRI * HTTP/2.0\r\n\r\n")); err != nil && !isReset(err) { // ends when the server closes
			t.Error(err)
		}
	})
}

func TestLargeHeadersAreRefusedOverHTTP2(t *testing.T) {
	r := start(t, edge.Config{H2C: true, MaxHeader: 4 << 10})
	for name, value := range map[string]string{"a few that are large": strings.Repeat("a", 1<<10), "many that are small": ""} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url(r, "/docs"), nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, size := 0, 0; size < 5<<10; i++ { // much more ends the connection
				req.Header.Set(fmt.Sprintf("X-%d", i), value)
				size += 32 + 4 + len(value) // RFC 9113, section 6.5.2
			}
			resp, err := client(t, true).Do(req)
			if err != nil { // the server's limit came first, and the client keeps to it
				if !strings.Contains(err.Error(), "larger than peer's advertised limit") {
					t.Error(err)
				}
				return
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%d", resp.StatusCode)
			}
		})
	}
}

func TestLargeTrailersAreNotTaken(t *testing.T) {
	r := start(t, edge.Config{H2C: true, MaxHeader: 4 << 10})
	t.Run("HTTP/1.1", func(t *testing.T) {
		conn := raw(t, r.Address(), postEcho+"Trailer: X-A\r\n"+chunked+"2\r\n{}\r\n0\r\n")
		go func() {
			for range 10_000 {
				if _, err := io.WriteString(conn, "X-A: "+strings.Repeat("a", 1<<10)+"\r\n"); err != nil {
					return
				}
			}
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			if !isReset(err) {
				t.Fatal(err)
			}
			return // the connection is gone
		}
		_ = resp.Body.Close()
		if resp.StatusCode < http.StatusBadRequest || !resp.Close {
			t.Errorf("%d, close: %t", resp.StatusCode, resp.Close)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		w := speak(t, r.Address())
		w.send(frameHeaders, endHeaders, 1, post("/v1/EchoService:echo", "content-type", "application/json"))
		w.send(frameData, 0, 1, []byte("{}"))
		large := fields("x-a", strings.Repeat("a", 12<<10))
		w.send(frameHeaders, endStream, 1, large)
		for range 100 {
			if !w.send(frameContinuation, 0, 1, large) {
				break
			}
		}
		w.send(frameContinuation, endHeaders, 1, nil)
		w.ends(t)
	})
	if resp, _ := do(t, client(t, true), http.MethodGet, url(r, "/docs"), ""); resp.StatusCode != http.StatusOK {
		t.Errorf("another client is answered %d", resp.StatusCode)
	}
}

func TestAnHTTP2ClientThatDoesNotReadIsCut(t *testing.T) {
	const window = 4
	for name, settings := range map[string][]uint32{"a window of nothing": {window, 0}, "a window that fills": nil} {
		t.Run(name, func(t *testing.T) {
			r := start(t, edge.Config{H2C: true, WriteTimeout: 100 * time.Millisecond})
			w := speak(t, r.Address(), settings...)
			w.send(frameHeaders, endHeaders, 1, post("/v1/EchoService:list", "content-type", "application/json"))
			w.send(frameData, endStream, 1, inJSON(t, many(1<<30, says(strings.Repeat("x", 1<<14)))))
			keelsontest.Eventually(t, "the client is cut", func() bool {
				return r.counted(t, "keelson_edge_refused_total", "reason", "slow_write") >= 1 && r.counted(t, "keelson_edge_in_flight_requests") == 0
			})
		})
	}
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	r := start(t, edge.Config{H2C: true, IdleTimeout: 50 * time.Millisecond})
	w := speak(t, r.Address())
	w.send(frameHeaders, endHeaders|endStream, 1, fields(":method", "GET", ":scheme", "http", ":authority", "localhost", ":path", "/docs"))
	w.until(t, "an answer", func(f h2Frame) bool { return f.stream == 1 && f.flags&endStream != 0 })
	if code, said := w.ends(t); !said || code != 0 {
		t.Errorf("GOAWAY %t with %d", said, code)
	}
	keelsontest.Eventually(t, "no connection is left", func() bool { return r.counted(t, "keelson_edge_connections") == 0 })
}

func TestNamesAreCheckedAtTheListener(t *testing.T) {
	r := start(t, edge.Config{H2C: true, Hosts: []string{"api.example.com"}})
	for name, test := range map[string]struct {
		head string
		code int
	}{
		"its own":           {"GET /docs HTTP/1.1\r\nHost: api.example.com\r\n", 200},
		"loopback":          {"GET /docs HTTP/1.1\r\nHost: 127.0.0.1:80\r\n", 200},
		"of a page":         {"GET /docs HTTP/1.1\r\nHost: evil.example\r\n", 421},
		"in the line":       {"GET http://evil.example/docs HTTP/1.1\r\nHost: localhost\r\n", 421},
		"none":              {"GET /docs HTTP/1.1\r\n", 400},
		"two":               {"GET /docs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", 400},
		"empty":             {"GET /docs HTTP/1.1\r\nHost: \r\n", 421},
		"of HTTP/1.0":       {"GET /docs HTTP/1.0\r\nHost: evil.example\r\n", 421},
		"none, of HTTP/1.0": {"GET /docs HTTP/1.0\r\n", 421},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := http.ReadResponse(bufio.NewReader(raw(t, r.Address(), test.head+"Connection: close\r\n\r\n")), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != test.code {
				t.Errorf("%d, want %d", resp.StatusCode, test.code)
			}
		})
	}
	for host, code := range map[string]int{"evil.example": 421, "api.example.com:8443": 200} {
		if resp, text := do(t, client(t, true), http.MethodGet, url(r, "/docs"), "", "Host", host); resp.StatusCode != code {
			t.Errorf("HTTP/2, %s: %d %.80s", host, resp.StatusCode, text)
		}
	}
	for media, body := range map[string]string{"application/grpc-web": frame(0, ""), "application/json": "{}"} {
		resp, text := do(t, client(t, false), http.MethodPost, url(r, "/%s/Echo", echoService), body, "Host", "evil.example", "Content-Type", media)
		if got := errorOf(t, resp, text); got.Reason != edge.ReasonHostUnknown {
			t.Errorf("%s: %d %+v", media, resp.StatusCode, got)
		}
	}
}
