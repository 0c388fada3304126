package rest_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/errs"
)

const ndjson = "application/x-ndjson"

// echo answers each message of an import with itself, and the end with "done".
func echo(ss *serverStream) error {
	for {
		m, err := ss.recv()
		if errors.Is(err, io.EOF) {
			return ss.send(`{"text":"done"}`)
		}
		if err != nil {
			return err
		}
		if err := ss.SendMsg(m); err != nil {
			return err
		}
	}
}

func TestUploadsAreLinesInAndLinesOut(t *testing.T) {
	s := newServer(t)
	s.on("Import", echo)
	var zip bytes.Buffer
	w := gzip.NewWriter(&zip)
	_, _ = w.Write([]byte(`{"position":"1"}`))
	_ = w.Close()
	const end = "{\"text\":\"done\"}\n{\"status\":{\"code\":0}}\n"
	for name, c := range map[string]struct {
		body, want string
		headers    []string
	}{
		"lines":                 {"{\"position\":\"1\"}\n{\"text\":\"x\"}\n", "{\"position\":\"1\"}\n{\"text\":\"x\"}\n" + end, nil},
		"no newline at the end": {"{\"position\":\"1\"}\n{}", "{\"position\":\"1\"}\n{}\n" + end, nil},
		"blank lines":           {"\n\r\n{\"position\":\"1\"}\r\n  \n", "{\"position\":\"1\"}\n" + end, nil},
		"a byte order mark":     {"\xEF\xBB\xBF{\"position\":\"1\"}\n", "{\"position\":\"1\"}\n" + end, nil},
		"nothing":               {"", end, nil},
		"another name":          {"{}\n", "{}\n" + end, []string{"Content-Type", "application/jsonl; charset=utf-8"}},
		"gzip":                  {zip.String(), "{\"position\":\"1\"}\n" + end, []string{"Content-Encoding", "gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do("POST", "/v1/shelves:import", c.body, append([]string{"Content-Type", ndjson}, c.headers...)...)
			if r.StatusCode != http.StatusOK || r.body != c.want || r.Header.Get("Content-Type") != ndjson {
				t.Errorf("%d %s %q, want %q", r.StatusCode, r.Header.Get("Content-Type"), r.body, c.want)
			}
		})
	}
	s.on("Collect", func(ss *serverStream) error {
		n := 0
		for {
			if _, err := ss.recv(); err != nil {
				return ss.send(fmt.Sprintf(`{"next":"%d"}`, n))
			}
			n++
		}
	})
	if r := s.do("POST", "/v1/shelves:collect", "{}\n{}\n", "Content-Type", ndjson); r.body != "{\"next\":\"2\"}\n{\"status\":{\"code\":0}}\n" {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
}

func TestUploadsThatAreRefusedAreErrors(t *testing.T) {
	s := newServer(t, func(c *rest.Config) { c.MaxRequest = 64 })
	s.on("Import", func(ss *serverStream) error {
		for {
			if _, err := ss.recv(); err != nil {
				return err
			}
		}
	})
	for name, c := range map[string]struct {
		body    string
		headers []string
		code    int
		says    string
	}{
		"a bad line":     {"{}\n\n{\"plaice\":\"1\"}\n", nil, 400, "plaice (line 3, column 10) is no field"},
		"no JSON":        {"{}\n{oops}\n", nil, 400, "message\":\"the body is no JSON at line 2, column 2"},
		"a long line":    {"{}\n{\"text\":\"" + strings.Repeat("x", 64) + "\"}\n", nil, 413, "line 2: the line has more than 64 bytes"},
		"JSON":           {"{}", []string{"Content-Type", "application/json"}, 415, "application/x-ndjson"},
		"Accept":         {"{}", []string{"Accept", "application/json"}, 406, "application/x-ndjson"},
		"If-Match":       {"{}", []string{"If-Match", `"x"`}, 400, "cannot be checked"},
		"no gzip":        {"{}\n", []string{"Content-Encoding", "gzip"}, 400, "is no gzip"},
		"another coding": {"{}\n", []string{"Content-Encoding", "zstd"}, 415, "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do("POST", "/v1/shelves:import", c.body, append([]string{"Content-Type", ndjson}, c.headers...)...)
			if r.StatusCode != c.code || !strings.Contains(r.body, c.says) {
				t.Errorf("%d %s, want %d with %q", r.StatusCode, r.body, c.code, c.says)
			}
		})
	}
	s.on("Import", func(*serverStream) error { return errs.Unavailable("DRAINING", "x") })
	if r := s.do("POST", "/v1/shelves:import", "{}\n", "Content-Type", ndjson); r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestResultsComeWhileTheUploadRuns(t *testing.T) {
	s := newServer(t)
	s.on("Import", echo)
	h2 := httptest.NewUnstartedServer(s.router)
	h2.Config.Protocols = new(http.Protocols)
	h2.Config.Protocols.SetUnencryptedHTTP2(true)
	h2.Start()
	defer h2.Close()
	transport2 := &http.Transport{Protocols: h2.Config.Protocols}
	defer transport2.CloseIdleConnections()
	for name, c := range map[string]struct {
		url       string
		transport http.RoundTripper
	}{"HTTP/1.1": {s.url, http.DefaultTransport}, "HTTP/2": {h2.URL, transport2}} {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			req, _ := http.NewRequest(http.MethodPost, c.url+"/v1/shelves:import", in)
			req.Header.Set("Content-Type", ndjson)
			go func() { _, _ = out.Write([]byte("{\"position\":\"1\"}\n")) }()
			resp, err := c.transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = resp.Body.Close() }()
			r := bufio.NewReader(resp.Body)
			if got := line(t, r, "\n"); got != "{\"position\":\"1\"}\n" {
				t.Errorf("%q", got)
			}
			_, _ = out.Write([]byte("{\"position\":\"2\"}\n{\"position\":\"3\"}\n"))
			for _, want := range []string{"{\"position\":\"2\"}\n", "{\"position\":\"3\"}\n"} {
				if got := line(t, r, "\n"); got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
			_, _ = out.Write([]byte("nonsense\n"))
			if got := line(t, r, "\n"); !strings.HasPrefix(got, `{"status":{"code":3,`) || !strings.Contains(got, "at line 4, column 2: ") {
				t.Errorf("%q", got)
			}
			_ = out.Close()
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("after the last line: %q, %v", rest, err)
			}
		})
	}
}

func TestUploadThatIsCutOffIsCancelled(t *testing.T) {
	s := newServer(t)
	ended := make(chan error, 1)
	s.on("Import", func(ss *serverStream) error {
		var err error
		for err == nil {
			_, err = ss.recv()
		}
		ended <- err
		return err
	})
	in, out := io.Pipe()
	req := s.request("POST", "/v1/shelves:import", "x", "Content-Type", ndjson)
	req.Body, req.ContentLength = in, -1
	go func() {
		_, _ = out.Write([]byte("{\"position\":\"1\"}\n"))
		_ = out.CloseWithError(errors.New("the client broke"))
	}()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if err := <-ended; errors.Is(err, io.EOF) || status.Code(err) != codes.Canceled {
		t.Errorf("the service saw %v: what came was taken for all", err)
	}
}

// stuckWriter is a client that does not read.
type stuckWriter struct {
	header http.Header
	reads  chan struct{}
}

func (w *stuckWriter) Header() http.Header     { return w.header }
func (w *stuckWriter) WriteHeader(int)         {}
func (w *stuckWriter) Flush()                  {}
func (w *stuckWriter) EnableFullDuplex() error { return nil }
func (w *stuckWriter) Write(p []byte) (int, error) {
	<-w.reads
	return len(p), nil
}

func TestResultsForAClientThatDoesNotReadAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, limit = 1 << 10, 16 << 10
		service := libraryService(t)
		var sent atomic.Int64
		g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
			s := &serverStream{ss, service.Methods().ByName("Import")}
			for range 1000 {
				if err := s.send(`{"text":"` + strings.Repeat("x", size) + `"}`); err != nil {
					return err
				}
				sent.Add(1)
			}
			return nil
		}))
		defer g.Stop()
		rt, err := rest.New(rest.Config{Services: []protoreflect.ServiceDescriptor{service}, Handler: g, MaxBuffered: limit})
		if err != nil {
			t.Fatal(err)
		}
		w := &stuckWriter{http.Header{}, make(chan struct{})}
		r := httptest.NewRequest("POST", "/v1/shelves:import", strings.NewReader("{}\n"))
		r.Header.Set("Content-Type", ndjson)
		done := make(chan struct{})
		go func() { defer close(done); rt.ServeHTTP(w, r) }()
		synctest.Wait() // until nothing moves any more
		if n := sent.Load(); n < limit/size || n > limit/size+4 {
			t.Errorf("%d results of %d bytes were taken, the bound is %d bytes", n, size, limit)
		}
		close(w.reads)
		<-done
		if n := sent.Load(); n != 1000 {
			t.Errorf("%d results were taken in the end", n)
		}
	})
}

func TestUploadThatEndsEarlyKeepsItsAnswer(t *testing.T) {
	s := newServer(t)
	s.on("Import", func(ss *serverStream) error {
		m, err := ss.recv()
		if err != nil {
			return err
		}
		if err := ss.SendMsg(m); err != nil {
			return err
		}
		return errs.Draining("")
	})
	body := strings.Repeat("{\"position\":\"1\"}\n", 1<<16) // more than the buffers between
	r := s.do("POST", "/v1/shelves:import", body, "Content-Type", ndjson)
	if !strings.HasPrefix(r.body, "{\"position\":\"1\"}\n{\"status\":{\"code\":14,") {
		t.Errorf("%d %q", r.StatusCode, r.body)
	}
}
