package edge_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// noWarnings stops the service, so that all of its log is written, and fails the test
// when the service warned of what its clients did.
func (r *running) noWarnings(t *testing.T) {
	t.Helper()
	_ = r.stop() // who started it reports its error
	for line := range strings.Lines(r.log.String()) {
		if strings.Contains(line, `"log.level":"warn"`) || strings.Contains(line, `"log.level":"error"`) {
			t.Errorf("the service warns of what its clients did: %s", line)
		}
	}
}

func TestAMessageThatDoesNotComeIsToldInEveryProtocol(t *testing.T) {
	const short = 50 * time.Millisecond
	r := start(t, edge.Config{ReadTimeout: short, WriteTimeout: 40 * short})
	t.Run("all", func(t *testing.T) {
		for _, media := range []string{
			"application/grpc-web", "application/grpc-web+json", "application/grpc-web-text", "application/grpc-web-text+json",
			"application/connect+proto", "application/connect+json", "application/proto", "application/json",
		} {
			method := "Echo"
			if strings.Contains(media, "connect") {
				method = "List"
			}
			for name, sent := range map[string]string{"nothing": "", "half a prefix": "\x00\x00", "half a message": "\x00\x00\x00\x00\x09{"} {
				if strings.Contains(media, "text") && sent != "" {
					sent = "AAAA"
				}
				t.Run(media+" "+name, func(t *testing.T) {
					t.Parallel()
					conn := raw(t, r.Address(), "POST /"+echoService+"/"+method+" HTTP/1.1\r\nHost: x\r\nContent-Type: "+media+"\r\n"+chunked)
					if sent != "" {
						_, _ = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(sent), sent) // the answer tells
					}
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					text, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if err != nil {
						t.Fatal(err)
					}
					if got := errorOf(t, resp, string(text)); got.Code != codes.DeadlineExceeded || got.Reason != "REQUEST_TIMEOUT" || !strings.Contains(got.Message, "edge.read_timeout") || !resp.Close {
						t.Errorf("%d %+v, close: %t", resp.StatusCode, got, resp.Close)
					}
				})
			}
		}
	})
	r.noWarnings(t)
}

func TestAPauseOfAnUploadHasABound(t *testing.T) {
	const short = 100 * time.Millisecond
	r := start(t, edge.Config{IdleTimeout: short, ReadTimeout: short})
	for name, c := range map[string]struct {
		sent  string
		code  int
		lines int
		says  string
	}{
		"before the first line": {postSend + chunked, http.StatusRequestTimeout, 1, "edge.idle_timeout"},
		"between lines":         {postSend + chunked + "3\r\n{}\n\r\n", http.StatusRequestTimeout, 1, "edge.idle_timeout"},
		"after a result":        {postChat + chunked + "3\r\n{}\n\r\n", http.StatusOK, 2, "edge.idle_timeout"},
		"within a line":         {postChat + chunked + "4\r\n{}\n{\r\n", http.StatusOK, 2, "_timeout"}, // of either
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := raw(t, r.Address(), c.sent)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			e := wholly(t, resp)
			if got := e.status(t); e.StatusCode != c.code || len(e.lines) != c.lines || got.reason() != "REQUEST_TIMEOUT" || !strings.Contains(got.Message, c.says) {
				t.Errorf("%d %q", e.StatusCode, e.lines)
			}
		})
	}
	t.Cleanup(func() {
		r.noWarnings(t)
		if strings.Contains(r.log.String(), "CALLER_GONE") {
			t.Errorf("the service was told that its client went away:\n%s", r.log)
		}
	})
}

func TestALineThatIsWrongTellsWhatBecameOfThoseBefore(t *testing.T) {
	for name, c := range map[string]struct {
		head, lines   string
		answers       int
		says, sayslog string
	}{
		"the first":             {postSend, "{]\n", 0, `"taken":"0"`, "INVALID_JSON at line 1"},
		"the second":            {postSend, "{}\n{]\n", 0, `; one line before it was taken, and may have had its effect`, "INVALID_JSON at line 2"},
		"a later one":           {postSend, "{}\n\n{}\n{\"nobody\":1}\n{}\n", 0, `; 2 lines before it were taken, and may have had their effect`, "INVALID_REQUEST at line 4"},
		"one after two results": {postChat, "{}\n{}\n{]\n{}\n", 2, `"taken":"2"`, "INVALID_JSON at line 3"},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, edge.Config{})
			conn := raw(t, r.Address(), c.head+"Content-Length: "+decimal(len(c.lines))+"\r\n\r\n"+c.lines)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			e := wholly(t, resp)
			if last := e.lines[len(e.lines)-1]; len(e.lines) != c.answers+1 || !strings.Contains(last, c.says) {
				t.Errorf("%d %q", e.StatusCode, e.lines)
			}
			keelsontest.Eventually(t, "the service has its line", func() bool { return strings.Contains(r.log.String(), c.sayslog) })
			r.noWarnings(t)
			if strings.Contains(r.log.String(), "CALLER_GONE") {
				t.Errorf("the service was told that its client went away:\n%s", r.log)
			}
		})
	}
}
