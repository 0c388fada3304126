package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
)

func TestETagIsThatOfTheResource(t *testing.T) {
	s := newServer(t)
	for field, header := range map[string]string{
		`\"abc\"`: `"abc"`, `W/\"abc\"`: `W/"abc"`, `abc`: `"abc"`, ``: ``, `a b`: ``, `a\"b`: ``,
	} {
		s.answer("GetShelf", `{"name":"shelves/a","etag":"`+field+`"}`, nil)
		if r := s.do("GET", "/v1/shelves/a", ""); r.StatusCode != http.StatusOK || r.Header.Get("Etag") != header {
			t.Errorf("etag %s: %d, header %q, want %q", field, r.StatusCode, r.Header.Get("Etag"), header)
		}
	}
}

func TestReadsAreConditional(t *testing.T) {
	s := newServer(t)
	s.answer("GetShelf", `{"etag":"\"one\""}`, nil)
	for _, c := range []struct {
		header, value string
		code          int
	}{
		{"If-None-Match", `"one"`, 304},
		{"If-None-Match", `W/"one"`, 304}, // weak comparison
		{"If-None-Match", `"two", "one"`, 304},
		{"If-None-Match", `*`, 304},
		{"If-None-Match", `one`, 304}, // without its quotes
		{"If-None-Match", `"two"`, 200},
		{"If-Match", `"one"`, 200},
		{"If-Match", `*`, 200},
		{"If-Match", `W/"one"`, 412}, // strong comparison
		{"If-Match", `"two", "three"`, 412},
		{"If-Match", `"a,b", "one"`, 200},
		{"If-Match", `"`, 400},
		{"If-Match", `*, "one"`, 400},
		{"If-Match", ``, 400},
		{"If-None-Match", strings.Repeat(`"x",`, 17), 400},
	} {
		r := s.do("GET", "/v1/shelves/a", "", c.header, c.value)
		if r.StatusCode != c.code || r.StatusCode == 304 && (r.body != "" || r.Header.Get("Etag") != `"one"`) {
			t.Errorf("%s: %s is %d %q, want %d", c.header, c.value, r.StatusCode, r.body, c.code)
		}
	}
}

func TestReadsOfWhatHasNoTagAreConditionalToo(t *testing.T) {
	s := newServer(t)
	s.answer("ListNames", `{"names":["a"]}`, nil)
	for _, c := range []struct {
		header, value string
		code          int
	}{
		{"If-Match", `"one"`, 412}, {"If-Match", `*`, 200}, {"If-None-Match", `"one"`, 200}, {"If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT", 200},
		{"If-Modified-Since", "Sat, 01 Jan 2050 00:00:00 GMT", 200}, {"Range", "bytes=0-1", 200}, {"If-Range", `"one"`, 200},
	} {
		r := s.do("GET", "/v1/names", "", c.header, c.value)
		if r.StatusCode != c.code || c.code == 200 && (r.body != `["a"]` || r.Header.Get("Content-Range") != "") || r.Header.Get("Etag") != "" {
			t.Errorf("%s: %s is %d %q, want %d", c.header, c.value, r.StatusCode, r.body, c.code)
		}
	}
}

func TestNotModifiedHasTheHeaderOfTheAnswer(t *testing.T) {
	s := newServer(t)
	s.answer("GetShelf", `{"etag":"\"one\""}`, nil)
	for _, verb := range []string{"GET", "HEAD"} {
		whole := s.do(verb, "/v1/shelves/a", "", "X-Correlation-Id", "c")
		r := s.do(verb, "/v1/shelves/a", "", "X-Correlation-Id", "c", "If-None-Match", `"one"`)
		for _, name := range []string{"Etag", "Vary", "Cache-Control", "X-Correlation-Id"} { // RFC 9110, 15.4.5
			if r.Header.Get(name) != whole.Header.Get(name) {
				t.Errorf("%s: %s is %q, and %q when it was modified", verb, name, r.Header.Get(name), whole.Header.Get(name))
			}
		}
		if r.StatusCode != http.StatusNotModified || r.body != "" || r.Header.Get("Content-Type") != "" || r.Header.Get("Content-Length") != "" || r.Header.Get("Vary") != "Accept" {
			t.Errorf("%s: %d %v", verb, r.StatusCode, r.Header)
		}
	}
}

func TestIfMatchBecomesTheETagOfAChange(t *testing.T) {
	s := newServer(t)
	update, remove := s.answer("UpdateShelf", `{"etag":"\"new\""}`, nil), s.answer("DeleteShelf", `{}`, nil)
	s.answer("MergeShelf", `{}`, nil)
	for _, c := range []struct {
		name, verb, path, body, match string
		code                          int
		want                          string
	}{
		{"resource", "PATCH", "/v1/shelves/a", `{"tags":["x"]}`, `"one"`, 200, `{"shelf":{"name":"shelves/a","etag":"\"one\"","tags":["x"]},"updateMask":"tags"}`},
		{"the same twice", "PATCH", "/v1/shelves/a", `{"etag":"\"one\""}`, `"one"`, 200, `{"shelf":{"name":"shelves/a","etag":"\"one\""}}`},
		{"two of them", "PATCH", "/v1/shelves/a", `{"etag":"\"two\""}`, `"one"`, 400, ""},
		{"request", "DELETE", "/v1/shelves/a", "", `"one"`, 200, `{"name":"shelves/a","etag":"\"one\""}`},
		{"any", "DELETE", "/v1/shelves/a", "", `*`, 200, `{"name":"shelves/a"}`},
		{"any or none", "DELETE", "/v1/shelves/a?allowMissing=true", "", `*`, 400, ""},
		{"weak", "DELETE", "/v1/shelves/a", "", `W/"one"`, 412, ""},
		{"not checkable", "POST", "/v1/values", "{}", `"one"`, 400, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.do(c.verb, c.path, c.body, "If-Match", c.match)
			got := update
			if c.verb == "DELETE" {
				got = remove
			}
			if r.StatusCode != c.code || c.want != "" && text(t, got) != c.want {
				t.Errorf("%d %s, the service got %s", r.StatusCode, r.body, text(t, got))
			}
		})
	}
	for _, c := range []struct {
		verb, path, match string
		code              int
	}{
		{"POST", "/v1/shelves", "*", 201}, {"POST", "/v1/shelves", `"x"`, 400}, {"PATCH", "/v1/shelves/a", "*", 400},
	} {
		s.answer("CreateShelf", "{}", nil)
		if r := s.do(c.verb, c.path, "{}", "If-None-Match", c.match); r.StatusCode != c.code {
			t.Errorf("%s %s with If-None-Match %s: %d %s", c.verb, c.path, c.match, r.StatusCode, r.body)
		}
	}
}

func TestETagThatDoesNotMatchIs412OnlyWithIfMatch(t *testing.T) {
	s := newServer(t)
	calls := 0
	current := `"now"`
	s.on("DeleteShelf", func(ss *serverStream) error {
		calls++
		in, err := ss.recv()
		if err != nil {
			return err
		}
		if in.Get(in.Descriptor().Fields().ByName("etag")).String() == current {
			return ss.send("{}")
		}
		return errs.Status(errs.Aborted("ETAG_MISMATCH", "changed").With(errs.Meta("current_etag", current)), "d", "").Err()
	})
	for _, c := range []struct {
		query, match, current string
		code, calls           int
	}{
		{"", `"old"`, `"now"`, http.StatusPreconditionFailed, 1},
		{"", `"old", "now"`, `"now"`, http.StatusOK, 2}, // another one of the list is current
		{"", `"old", W/"now"`, `"now"`, http.StatusPreconditionFailed, 1},
		{"", `"now"`, `now`, http.StatusOK, 2}, // a service whose etags have no quotes
		{"?etag=%22old%22", "", `"now"`, http.StatusConflict, 1},
	} {
		calls, current = 0, c.current
		var headers []string
		if c.match != "" {
			headers = []string{"If-Match", c.match}
		}
		r := s.do("DELETE", "/v1/shelves/a"+c.query, "", headers...)
		if r.StatusCode != c.code || calls != c.calls {
			t.Errorf("%+v: %d %s after %d calls", c, r.StatusCode, r.body, calls)
		}
		if c.code >= 400 && (r.reason(t) != "ETAG_MISMATCH" || r.json(t)["code"] != float64(codes.Aborted)) {
			t.Errorf("%+v: the status is another one: %s", c, r.body)
		}
	}
}

func TestCreatedResourcesHaveALocation(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		query, answer string
		code          int
		location      string
	}{
		{"", `{"name":"shelves/a b","etag":"\"x\""}`, http.StatusCreated, "/v1/shelves/a%20b"},
		{"", `{"name":"other/a"}`, http.StatusCreated, ""},
		{"", `{}`, http.StatusCreated, ""},
		{"?validateOnly=true", `{"name":"shelves/a"}`, http.StatusOK, ""},
	} {
		s.answer("CreateShelf", c.answer, nil)
		r := s.do("POST", "/v1/shelves"+c.query, "{}")
		if r.StatusCode != c.code || r.Header.Get("Location") != c.location {
			t.Errorf("%+v: %d, Location %q", c, r.StatusCode, r.Header.Get("Location"))
		}
	}
	s.answer("CreateShelf", "", errs.AlreadyExists("TAKEN", "taken").GRPCStatus().Err())
	if r := s.do("POST", "/v1/shelves", "{}"); r.StatusCode != http.StatusConflict || r.Header.Get("Location") != "" {
		t.Errorf("a conflict: %d", r.StatusCode)
	}
}
