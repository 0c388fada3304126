package rest_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/errs"
)

// open makes a request and leaves the answer's body open.
func (s *server) open(req *http.Request) (*http.Response, *bufio.Reader) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp, err := http.DefaultTransport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		s.t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	s.t.Cleanup(func() { cancel(); _ = resp.Body.Close() })
	return resp, bufio.NewReader(resp.Body)
}

// line reads up to the end of a line, or of an event.
func line(t *testing.T, r *bufio.Reader, end string) string {
	t.Helper()
	var b strings.Builder
	for {
		part, err := r.ReadString('\n')
		b.WriteString(part)
		if err != nil {
			t.Fatalf("after %q: %v", b.String(), err)
		}
		if strings.HasSuffix(b.String(), end) {
			return b.String()
		}
	}
}

// changes answers Watch with messages, then with what end returns.
func (s *server) changes(end error, messages ...string) {
	s.on("Watch", func(ss *serverStream) error {
		if _, err := ss.recv(); err != nil {
			return err
		}
		for _, m := range messages {
			if err := ss.send(m); err != nil {
				return err
			}
		}
		return end
	})
}

func TestServerStreamsAreEvents(t *testing.T) {
	s := newServer(t)
	s.changes(nil, `{"position":"1","text":"a\nb"}`, `{"text":"no position"}`)
	r := s.do("GET", "/v1/shelves:watch", "")
	want := "retry: 2000\n\n" +
		"id: 1\nevent: message\ndata: {\"position\":\"1\",\"text\":\"a\\nb\"}\n\n" +
		"id: 0\nevent: message\ndata: {\"text\":\"no position\"}\n\n" +
		"event: end\ndata: {}\n\n"
	if r.StatusCode != http.StatusOK || r.body != want {
		t.Errorf("%d %q\nwant %q", r.StatusCode, r.body, want)
	}
	for k, v := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if r.Header.Get(k) != v {
			t.Errorf("%s: %q, want %q", k, r.Header.Get(k), v)
		}
	}
	if r.Header.Get("X-Correlation-Id") == "" {
		t.Error("no correlation ID")
	}
	s.changes(errs.Draining("17"), `{"position":"3"}`)
	r = s.do("GET", "/v1/shelves:watch", "")
	if !strings.Contains(r.body, "id: 17\nevent: error\ndata: {\"code\":14,") || !strings.HasSuffix(r.body, "}\n\n") {
		t.Errorf("a stream that is to be resumed: %q", r.body)
	}
	s.changes(nil)
	if r = s.do("GET", "/v1/shelves:watch", ""); r.body != "retry: 2000\n\nevent: end\ndata: {}\n\n" {
		t.Errorf("a stream of nothing: %q", r.body)
	}
	if r = s.do("HEAD", "/v1/shelves:watch", ""); r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %d", r.StatusCode)
	}
}

func TestStreamsThatFailAtOnceAreErrors(t *testing.T) {
	s := newServer(t)
	s.changes(errs.OutOfRange("COMPACTED", "too old"))
	if r := s.do("GET", "/v1/shelves:watch", "", "Accept", "text/event-stream"); r.StatusCode != http.StatusBadRequest || r.reason(t) != "COMPACTED" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	for _, c := range []struct {
		query, id string
		code      int
	}{{"?after=x", "", 400}, {"", "x", 400}, {"?filtr=x", "", 400}} {
		if r := s.do("GET", "/v1/shelves:watch"+c.query, "", "Last-Event-Id", c.id); r.StatusCode != c.code {
			t.Errorf("%+v: %d %s", c, r.StatusCode, r.body)
		}
	}
	if r := s.do("GET", "/v1/shelves:watch", "", "Accept", "text/html"); r.StatusCode != http.StatusNotAcceptable {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestLastEventIDResumesAStream(t *testing.T) {
	s := newServer(t)
	var got, filter string
	s.on("Watch", func(ss *serverStream) error {
		m, err := ss.recv()
		got, filter = m.Get(m.Descriptor().Fields().ByName("after")).String(), m.Get(m.Descriptor().Fields().ByName("filter")).String()
		return err
	})
	for _, c := range []struct{ query, id, want string }{
		{"?filter=f", "41", "41"}, {"?filter=f&after=7", "41", "41"}, {"?filter=f&after=7", "", "7"}, {"?filter=f", "", "0"},
	} {
		if s.do("GET", "/v1/shelves:watch"+c.query, "", "Last-Event-Id", c.id); got != c.want || filter != "f" {
			t.Errorf("%+v: the service got after %s, filter %q", c, got, filter)
		}
	}
}

func TestIdleStreamsOpenAndLive(t *testing.T) {
	s := newServer(t, func(c *rest.Config) { c.Opening, c.Heartbeat = time.Millisecond, time.Millisecond })
	gone := make(chan struct{})
	s.on("Watch", func(ss *serverStream) error {
		<-ss.Context().Done()
		close(gone)
		return ss.Context().Err()
	})
	resp, r := s.open(s.request("GET", "/v1/shelves:watch", ""))
	if got := line(t, r, "\n\n"); resp.StatusCode != http.StatusOK || got != "retry: 2000\n\n" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
	for range 2 {
		if got := line(t, r, "\n\n"); got != ":\n\n" {
			t.Errorf("heartbeat %q", got)
		}
	}
	_ = resp.Body.Close() // the client goes
	<-gone
}

func TestClientThatDoesNotReadIsCut(t *testing.T) {
	s := newServer(t, func(c *rest.Config) { c.WriteTimeout = 50 * time.Millisecond })
	ended := make(chan error)
	s.on("Watch", func(ss *serverStream) error {
		for {
			if err := ss.send(`{"text":"` + strings.Repeat("x", 1<<16) + `"}`); err != nil {
				ended <- err
				return err
			}
		}
	})
	s.open(s.request("GET", "/v1/shelves:watch", ""))
	if err := <-ended; err == nil {
		t.Error("the stream ended well")
	}
}

func TestMessagesAreSentAtOnce(t *testing.T) {
	s := newServer(t)
	next := make(chan string)
	s.on("Watch", func(ss *serverStream) error {
		for m := range next {
			if err := ss.send(m); err != nil {
				return err
			}
		}
		return nil
	})
	go func() { next <- `{"position":"1"}` }()
	_, r := s.open(s.request("GET", "/v1/shelves:watch", ""))
	line(t, r, "\n\n")
	if got := line(t, r, "\n\n"); !strings.HasPrefix(got, "id: 1\n") {
		t.Errorf("%q", got)
	}
	next <- `{"position":"2"}` // only now: nothing was held back
	if got := line(t, r, "\n\n"); !strings.HasPrefix(got, "id: 2\n") {
		t.Errorf("%q", got)
	}
	close(next)
	if got := line(t, r, "\n\n"); got != "event: end\ndata: {}\n\n" {
		t.Errorf("%q", got)
	}
}

func TestServerStreamsAreLinesOnRequest(t *testing.T) {
	s := newServer(t)
	s.changes(nil, `{"position":"1"}`, `{}`)
	for _, typ := range []string{"application/x-ndjson", "application/jsonl"} {
		r := s.do("GET", "/v1/shelves:watch", "", "Accept", typ)
		if want := "{\"position\":\"1\"}\n{}\n{\"status\":{\"code\":0}}\n"; r.body != want || r.Header.Get("Content-Type") != typ {
			t.Errorf("%s: %s %q", typ, r.Header.Get("Content-Type"), r.body)
		}
	}
	s.changes(errs.Aborted("EXPIRED", "x"), `{"position":"1"}`)
	r := s.do("GET", "/v1/shelves:watch", "", "Accept", "application/x-ndjson;q=0.9, text/event-stream;q=0.1")
	if !strings.HasPrefix(r.body, "{\"position\":\"1\"}\n{\"status\":{\"code\":10,") || !strings.HasSuffix(r.body, "}\n") {
		t.Errorf("%q", r.body)
	}
}

func TestFilesAreNotJSON(t *testing.T) {
	s := newServer(t)
	file := s.answer("GetFile", `{"contentType":"text/plain","data":"aGVsbG8="}`, nil)
	r := s.do("GET", "/v1/files/a/b.txt", "", "Accept", "text/plain")
	if r.body != "hello" || r.Header.Get("Content-Type") != "text/plain" || text(t, file) != `{"name":"a/b.txt"}` {
		t.Errorf("%s %q %s", r.Header.Get("Content-Type"), r.body, text(t, file))
	}
	put := s.answer("PutFile", `{}`, nil)
	if r := s.do("PUT", "/v1/files/a", "\xff\x00", "Content-Type", "image/x"); r.StatusCode != http.StatusOK ||
		text(t, put) != `{"name":"a","blob":{"contentType":"image/x","data":"/wA="}}` {
		t.Errorf("%d %s %s", r.StatusCode, r.body, text(t, put))
	}
	s.on("Download", func(ss *serverStream) error {
		if _, err := ss.recv(); err != nil {
			return err
		}
		return errors.Join(ss.send(`{"contentType":"text/csv","data":"YSxi"}`), ss.send(`{"data":"Cg=="}`))
	})
	if r := s.do("GET", "/v1/blobs/x", ""); r.body != "a,b\n" || r.Header.Get("Content-Type") != "text/csv" {
		t.Errorf("%s %q", r.Header.Get("Content-Type"), r.body)
	}
	s.on("Download", func(ss *serverStream) error {
		if err := ss.send(`{"contentType":"text/csv","data":"YSxi"}`); err != nil {
			return err
		}
		return errs.Aborted("BROKE", "x")
	})
	resp, body := s.open(s.request("GET", "/v1/blobs/x", ""))
	if _, err := io.ReadAll(body); err == nil {
		t.Errorf("%d: a download that broke looks whole", resp.StatusCode)
	}
	s.on("Download", func(*serverStream) error { return errs.NotFound("NONE", "x") })
	if r := s.do("GET", "/v1/blobs/x", ""); r.StatusCode != http.StatusNotFound {
		t.Errorf("%d", r.StatusCode)
	}
	var pieces []string
	s.on("Upload", func(ss *serverStream) error {
		for {
			m, err := ss.recv()
			if errors.Is(err, io.EOF) {
				return ss.send(`{"next":"done"}`)
			}
			if err != nil {
				return err
			}
			pieces = append(pieces, text(t, m))
		}
	})
	r = s.do("POST", "/v1/blobs/x", "data", "Content-Type", "text/csv")
	if r.body != "{\"next\":\"done\"}\n{\"status\":{\"code\":0}}\n" || pieces[0] != `{"name":"x","blob":{"contentType":"text/csv","data":"ZGF0YQ=="}}` {
		t.Errorf("%d %q, the service got %q", r.StatusCode, r.body, pieces)
	}
}

func TestWhoNamesProblemDetailsAloneGetsResultsAsUsual(t *testing.T) {
	s := newServer(t)
	s.on("Import", echo)
	s.on("Watch", func(ss *serverStream) error { return ss.send(`{}`) })
	s.answer("GetShelf", `{"name":"shelves/a"}`, nil)
	for _, c := range []struct{ verb, path, body, accept, want string }{
		{"POST", "/v1/shelves:import", "{}\n", "application/problem+json", ndjson},
		{"POST", "/v1/shelves:import", "{}\n", "application/problem+json, text/html;q=0", ndjson},
		{"POST", "/v1/shelves:import", "{]\n", "application/problem+json", "application/problem+json"},
		{"POST", "/v1/shelves:import", "{}\n", "application/problem+json, text/html", "application/problem+json"}, // 406
		{"GET", "/v1/shelves:watch", "", "application/problem+json", "text/event-stream"},
		{"GET", "/v1/shelves/a", "", "application/problem+json", "application/json"},
	} {
		r := s.do(c.verb, c.path, c.body, "Accept", c.accept, "Content-Type", ndjson)
		if got := r.Header.Get("Content-Type"); got != c.want {
			t.Errorf("%s %q, accepting %s: %d %s %s, want %s", c.path, c.body, c.accept, r.StatusCode, got, r.body, c.want)
		}
	}
}
