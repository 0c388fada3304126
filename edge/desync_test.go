package edge_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// large is an answer of more than net/http holds back.
var large = strings.Repeat("x", 100<<10)

// handlers of a main that answer as the clients of these tests do not expect it.
func handlers() []edge.Option {
	handle := func(path string, h http.HandlerFunc) edge.Option { return edge.WithHandler(path, h) }
	return []edge.Option{
		handle("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) }),
		handle("/flushed", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
		}),
		handle("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		handle("/nothing", func(http.ResponseWriter, *http.Request) { panic("before an answer") }),
		handle("/half", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, large)
			panic("within an answer")
		}),
		handle("/little", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "x")
			panic("within an answer")
		}),
	}
}

// bothWays runs a test against an edge in plaintext and over TLS.
func bothWays(t *testing.T, cfg edge.Config, test func(t *testing.T, r *running, dial func(t *testing.T, text string) net.Conn)) {
	t.Helper()
	t.Run("plaintext", func(t *testing.T) {
		r := start(t, cfg, handlers()...)
		test(t, r, func(t *testing.T, text string) net.Conn {
			t.Helper()
			return raw(t, r.Address(), text)
		})
	})
	t.Run("TLS", func(t *testing.T) {
		a := newAuthority(t)
		cert, key := store(t, a.issue(t, "edge", []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}))
		cfg.TLS = keelson.ServerTLS{CertFile: cert, KeyFile: key}
		r := start(t, cfg, handlers()...)
		test(t, r, func(t *testing.T, text string) net.Conn {
			t.Helper()
			c := tls.Client(raw(t, r.Address(), ""), &tls.Config{RootCAs: a.pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			return c
		})
	})
}

// bodies are requests for each of several paths with each of several bodies, without
// their HTTP method.
func bodies(paths, rest []string) map[string]string {
	all := map[string]string{}
	for _, p := range paths {
		for _, body := range rest {
			all[fmt.Sprintf("%s %.24q", p, body)] = p + " HTTP/1.1\r\nHost: x\r\n" + body
		}
	}
	return all
}

// A client that says that a body comes, and waits, gets its answer, and cannot keep
// the edge waiting.
func TestAnAnswerDoesNotWaitForABodyThatNobodyReads(t *testing.T) {
	const short = 100 * time.Millisecond
	bothWays(t, edge.Config{ReadTimeout: short, WriteTimeout: short}, func(t *testing.T, r *running, dial func(t *testing.T, text string) net.Conn) {
		t.Run("all", func(t *testing.T) {
			for what, head := range bodies([]string{"/large", "/flushed", "/openapi.json", "/docs", "/nowhere"}, []string{
				"Content-Length: 5\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\nab",
			}) {
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					in := bufio.NewReader(dial(t, "GET "+head))
					resp, err := http.ReadResponse(in, nil)
					if err != nil {
						t.Fatal(err)
					}
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if err != nil || !resp.Close {
						t.Errorf("%d, close: %t, %v", resp.StatusCode, resp.Close, err)
					}
					if more, err := io.ReadAll(in); len(more) > 0 || err != nil && !isReset(err) {
						t.Errorf("after the answer: %q, %v", more, err)
					}
				})
			}
		})
		keelsontest.Eventually(t, "nothing is left", func() bool {
			return r.counted(t, "keelson_edge_in_flight_requests") == 0 && r.counted(t, "keelson_edge_connections") == 0
		})
	})
}

// Requests whose bodies nobody reads, and what comes after them: it is the next
// request exactly where the body has ended, and nothing else is.
func TestTheNextRequestBeginsWhereTheBodyEnds(t *testing.T) {
	bothWays(t, edge.Config{}, func(t *testing.T, _ *running, dial func(t *testing.T, text string) net.Conn) {
		for name, c := range map[string]struct {
			sent    string
			answers int
		}{
			"HEAD with a body":                {"HEAD /docs HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"HEAD with chunks and a trailer":  {"HEAD /v1/EchoService/read HTTP/1.1\r\nHost: x\r\n" + chunked + "1\r\na\r\n0\r\nContent-Length: 40\r\n\r\n", 1},
			"GET with a body":                 {"GET /large HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"GET with chunks":                 {"GET /docs HTTP/1.1\r\nHost: x\r\n" + chunked + "2f\r\n" + smuggled + "\r\n0\r\n\r\n", 1},
			"DELETE with a body":              {"DELETE /v1/EchoService/read HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"OPTIONS with a body":             {"OPTIONS /v1/EchoService:echo HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"OPTIONS of the server":           {"OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"CONNECT with a body":             {"CONNECT x:80 HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"a call by GET with a body":       {"GET /" + echoService + "/Read?connect=v1&encoding=json&message=%7B%7D HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"a length and chunks":             {"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n" + chunked + "2f\r\n" + smuggled + "\r\n0\r\n\r\n", 1},
			"two lengths":                     {"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello" + smuggled, 1},
			"a coding that is not known":      {"POST /nowhere HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled, 1},
			"chunks over HTTP/1.0":            {"POST /nowhere HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n" + chunked + smuggled, 1},
			"chunks and a length in HTTP/1.0": {"POST /nowhere HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 3\r\n" + chunked + "0\r\n\r\n" + smuggled, 1},
			"a body that was to wait":         {"POST /large HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n" + smuggled, 1},
			"a trailer that is none":          {"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + chunked + "0\r\n" + smuggled, 1},
			"a gzip that ends before":         {postEcho + "Content-Encoding: gzip\r\nContent-Length: " + decimal(len(zipped(t, "{}"))+len(smuggled)) + "\r\n\r\n" + zipped(t, "{}") + smuggled, 1},
			"lines after one that is wrong":   {postSend + "Content-Length: 51\r\n\r\n{]}\n" + smuggled, 1},
			"a body that a panic leaves":      {"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 47\r\n\r\n" + smuggled, 1},
			"a request after an upload":       {postChat + chunked + "3\r\n{}\n\r\n0\r\n\r\n" + smuggled, 2},
			"a request after a stream":        {"POST /" + echoService + "/Send HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+proto\r\nContent-Length: 5\r\n\r\n" + frame(0, "") + smuggled, 2},
			"a request after a body":          {"POST /large HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello" + smuggled, 2},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				conn := dial(t, c.sent+"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				all, err := io.ReadAll(conn)
				if err != nil && !isReset(err) {
					t.Fatal(err)
				}
				statuses, last := strings.Count(string(all), "HTTP/1."), strings.Contains(string(all), `\"/last\"`)
				want := c.answers
				if last {
					want++
				}
				if statuses != want {
					t.Errorf("%d answers, want %d:\n%.2000s", statuses, want, all)
				}
			})
		}
	})
}

func TestAnAnswerThatAPanicCutsIsBrokenOff(t *testing.T) {
	bothWays(t, edge.Config{WriteTimeout: time.Second}, func(t *testing.T, r *running, dial func(t *testing.T, text string) net.Conn) {
		t.Run("all", func(t *testing.T) {
			for what, head := range bodies([]string{"/abort", "/half", "/little", "/nothing"}, []string{
				"\r\n", "Accept-Encoding: gzip\r\n\r\n", "Content-Length: 5\r\n\r\nhello", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", "Content-Length: 5\r\n\r\n",
			}) {
				if strings.HasPrefix(what, "/nothing") && strings.HasSuffix(head, "5\r\n\r\n") {
					continue // it is read to its end first
				}
				t.Run(what, func(t *testing.T) {
					t.Parallel()
					resp, err := http.ReadResponse(bufio.NewReader(dial(t, "POST "+head)), nil)
					if err != nil {
						if strings.HasPrefix(what, "/nothing") {
							t.Error(err)
						}
						return
					}
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if cut := err != nil; cut != (resp.StatusCode == http.StatusOK) {
						t.Errorf("%d, and then %v", resp.StatusCode, err)
					}
				})
			}
		})
		keelsontest.Eventually(t, "nothing is left", func() bool {
			return r.counted(t, "keelson_edge_in_flight_requests") == 0 && r.counted(t, "keelson_edge_connections") == 0
		})
	})
}

// A service that sends its header before it has read what it was sent: over HTTP/1.1,
// too, the messages are there.
func TestAnEarlyHeaderDoesNotCostTheRequest(t *testing.T) {
	begun := make(chan struct{}, 1)
	r := startServing(t, config(), edge.Config{}, func(_ any, ss grpc.ServerStream) error {
		if err := ss.SendHeader(metadata.Pairs("a", "b")); err != nil {
			return err
		}
		begun <- struct{}{}
		return collect(stream{ss})
	})
	for _, media := range []string{"application/grpc-web+proto", "application/connect+proto"} {
		t.Run(media, func(t *testing.T) {
			message := framed(t, media, says("abcd"))
			sent := fmt.Sprintf("%x\r\n%s\r\n", len(message), message)
			conn := raw(t, r.Address(), "POST /"+echoService+"/Send HTTP/1.1\r\nHost: x\r\nContent-Type: "+media+"\r\n"+chunked+sent)
			<-begun
			if _, err := io.WriteString(conn, sent+"0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || !strings.Contains(string(text), "abcdabcd") || resp.Close {
				t.Errorf("%d %q, close: %t, %v", resp.StatusCode, text, resp.Close, err)
			}
		})
	}
}

// An answer that comes before the end of a stream that goes on ends it, although
// nobody sends.
func TestAnEarlyAnswerDoesNotWaitForTheRest(t *testing.T) {
	r := start(t, edge.Config{})
	for _, media := range []string{"application/grpc-web+proto", "application/connect+proto"} {
		for name, rest := range map[string]string{"": "", "within a chunk": "800\r\n\x00\x00\x00"} {
			t.Run(media+name, func(t *testing.T) {
				message := framed(t, media, fails(9, "no"))
				conn := raw(t, r.Address(), "POST /"+echoService+"/Send HTTP/1.1\r\nHost: x\r\nContent-Type: "+media+"\r\n"+chunked+
					fmt.Sprintf("%x\r\n%s\r\n%s", len(message), message, rest))
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if said := fmt.Sprintf("%s %v", text, resp.Header); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(said, "TEST_REASON") && !strings.Contains(said, "Grpc-Status:[9]") {
					t.Errorf("%d %s, %v", resp.StatusCode, said, err)
				}
			})
		}
	}
}
