package rest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	"github.com/keelson-dev/keelson/errs"
)

func libraryRouter(t testing.TB) *rest.Router {
	t.Helper()
	rt, err := rest.New(rest.Config{
		Services: []protoreflect.ServiceDescriptor{libraryService(t)},
		Handler:  http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"/v1/{name=shelves/*}:merge", "/v1/{a}/{b.c=x/**}", "/**", "/v1/a:b/c:d", "/{a=*}/%2F", "/v1/{", "/{a=b/{c}}", "/a/**/b", "/{a=**}:v"} {
		f.Add(s, "x", "y/z")
	}
	f.Fuzz(func(t *testing.T, template, one, two string) {
		n := rest.Variables(template)
		if n < 0 || n > 2 {
			return
		}
		values := []string{one, two}[:n]
		path, ok := rest.Expand(template, values)
		if !ok {
			return
		}
		got, ok := rest.Capture(template, path)
		if !ok || cmp.Diff(values, got) != "" && n > 0 {
			t.Errorf("%s of %q is %s, which gives back %q, %v", template, values, path, got, ok)
		}
	})
}

func FuzzPath(f *testing.F) {
	rt := libraryRouter(f)
	for _, s := range []string{"/v1/shelves/a", "/v1/shelves/a%2Fb:merge", "/v1//x", "/", "/v1/archive/a/b/c", "/v1/shelves/%zz", "/v1/shelves/:merge", "/v1/shelves/a:"} {
		f.Add("GET", s)
		f.Add("POST", s)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		r := &http.Request{Method: method, URL: u, Header: http.Header{}, Body: http.NoBody}
		procedure, known := rt.Match(r)
		if procedure != "" && !known {
			t.Errorf("%s reaches %s and is not known", path, procedure)
		}
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		if (w.Code == http.StatusNotFound) == known || w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	})
}

// reasoned fails unless an error says what is wrong with the request.
func reasoned(t *testing.T, err error) {
	t.Helper()
	e := errs.From(err)
	if e.Code().String() != "InvalidArgument" || e.Message() == "" || !utf8.ValidString(e.Message()) {
		t.Errorf("the error is %v", err)
	}
}

func FuzzQuery(f *testing.F) {
	rt := libraryRouter(f)
	for _, s := range []string{"aBool=true", "genre=GENRE_FACT&genres=1&genres=x", "place.inner.street=%C3%A9", "at=2026-01-31T12:00:00Z&for=1s&readMask=a,b", "wrapped=1", "left=a&right=b", "aFloat=1e400", "a=%zz", "a;b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		m, err := rt.Fill("Query", query, nil)
		if err != nil {
			reasoned(t, err)
			return
		}
		if _, err := proto.Marshal(m); err != nil {
			t.Errorf("%q makes a message that cannot be sent: %v", query, err)
		}
	})
}

func FuzzJSON(f *testing.F) {
	rt := libraryRouter(f)
	for _, s := range []string{`{}`, `{"name":"x","place":{"street":null}}`, `{"labels":{"a":"b"},"tags":["x"],"limit":5}`, `{"extra":{"@type":"type.googleapis.com/library.v1.Place","street":"x"}}`, `[`, `{"nam":1}`, "{\"name\":\"\xff\"}", `{"places":[{"floorNumber":"x"}]}`, `null`, `{"count":1e2}`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := rt.Fill("UpdateShelf", "", body)
		if err != nil {
			reasoned(t, err)
			return
		}
		shelfOf := func(m proto.Message) proto.Message {
			return m.ProtoReflect().Mutable(m.ProtoReflect().Descriptor().Fields().ByName("shelf")).Message().Interface()
		}
		shelf := shelfOf(m)
		raw, err := rt.JSON(shelf)
		if err != nil || !json.Valid(raw) || bytes.ContainsAny(raw, "\r\n") {
			t.Fatalf("%q becomes %q, %v", body, raw, err)
		}
		again, err := rt.Fill("UpdateShelf", "", raw)
		if err != nil || !proto.Equal(shelf, shelfOf(again)) {
			t.Errorf("%q becomes %s, which is another message: %v", body, raw, err)
		}
	})
}

func FuzzLines(f *testing.F) {
	for _, s := range []string{"a\nb", "\n\r\n \na\r\n", "\xEF\xBB\xBFa", "a", "", strings.Repeat("x", 40) + "\ny"} {
		f.Add([]byte(s), int64(32))
	}
	f.Fuzz(func(t *testing.T, body []byte, limit int64) {
		limit = min(max(limit, 0), 1<<20)
		lines, err := rest.Lines(body, limit)
		for _, l := range lines {
			if strings.Contains(l, "\n") || strings.TrimSpace(l) == "" || int64(len(l)) > limit+1 {
				t.Errorf("line %q", l)
			}
		}
		if !errors.Is(err, io.EOF) {
			return // a line was too long
		}
		var want []string
		for l := range strings.SplitSeq(strings.TrimPrefix(string(body), "\xEF\xBB\xBF"), "\n") {
			if l = string(bytes.TrimSpace([]byte(l))); l != "" {
				want = append(want, l)
			}
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzAccept(f *testing.F) {
	for _, s := range []string{"application/json", "*/*;q=0.1, application/*;q=0.5", "a/b;q=2", ";;", `text/x;a="b,c";q=0.3`, "*/json", "application/problem+json;q=0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if q := rest.Quality(header, "application/json"); !(q >= 0 && q <= 1) {
			t.Errorf("%q wants JSON by %v", header, q)
		}
	})
}

func FuzzConditions(f *testing.F) {
	for _, s := range []string{`*`, `"a"`, `W/"a", "b,c"`, `a`, `"`, `""`, `"a`, `*,"a"`, `W/`, "\"\x00\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		tags, anything, ok := rest.Tags(header)
		if !ok {
			return
		}
		if anything == (len(tags) > 0) {
			t.Errorf("%q is %q and %v", header, tags, anything)
		}
		again, _, ok := rest.Tags(strings.Join(tags, ", "))
		if !anything && (!ok || cmp.Diff(tags, again) != "") {
			t.Errorf("%q is %q, which is %q", header, tags, again)
		}
	})
}
