package rest_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAllThatIsWrongIsSaidAtOnce(t *testing.T) {
	s := newServer(t)
	s.answer("CreateShelf", "{}", nil)
	s.answer("UpdateShelf", "{}", nil)
	s.on("Import", func(ss *serverStream) error {
		for {
			if _, err := ss.recv(); err != nil {
				return err
			}
		}
	})
	many := "{"
	for _, c := range "abcdefghijklmnopqrstuvwxyz" {
		many += `"` + string(c) + `":1,`
	}
	for name, c := range map[string]struct {
		verb, path, body string
		reason, first    string
		fields           []string
	}{
		"body and query": {
			"POST", "/v1/shelves?shelfIdd=x&validateOnly=maybe", `{"displayNam":"x","count":"y"}`, "INVALID_REQUEST", "shelf.displayNam (line 1, column 14) is no field",
			[]string{"shelf.count", "shelf.displayNam", "shelfIdd", "validate_only"},
		},
		"no JSON, and the query": {
			"POST", "/v1/shelves?shelfIdd=x", `{oops}`, "INVALID_JSON", "the body is no JSON at line 1, column 2", []string{"shelf", "shelfIdd"},
		},
		"body, path and query": {
			"PATCH", "/v1/shelves/a?x=1", `{"name":"shelves/b","tagz":[]}`, "INVALID_REQUEST", "shelf.tagz", []string{"shelf.name", "shelf.tagz", "x"},
		},
		"path and query": {"GET", "/v1/values/yes/5/1/QQ?aFloat=x", "", "INVALID_REQUEST", "a_bool", []string{"a_bool", "a_float"}},
		"more of the body than are told, and the query": {
			"POST", "/v1/shelves?shelfIdd=x", strings.TrimSuffix(many, ",") + "}", "INVALID_REQUEST", "shelf.a", append(strings.Split("shelf."+strings.Join(strings.Split("abcdefghijklmnop", ""), " shelf."), " "), "shelfIdd"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.do(c.verb, c.path, c.body)
			fields := r.fields(t)
			message, _ := r.json(t)["message"].(string)
			if diff := cmp.Diff(c.fields, slices.Sorted(maps.Keys(fields))); diff != "" || r.StatusCode != http.StatusBadRequest || r.reason(t) != c.reason || !strings.HasPrefix(message, c.first) {
				t.Errorf("%d %s %s", r.StatusCode, r.body, diff)
			}
		})
	}
	r := s.do("POST", "/v1/shelves:import", "{}\n\n{\"positions\":1,\"position\":\"x\"}\n", "Content-Type", ndjson, "Accept", "application/problem+json, */*;q=0.5")
	if !strings.Contains(r.body, `"detail":"positions (line 3, column 13) is no field of library.v1.Change; did you mean \"position\"?; and 1 more, see the field violations; one line before it was taken, and may have had its effect"`) ||
		!strings.Contains(r.body, `"metadata":{"line":"3","taken":"1"}`) || strings.Contains(r.body, "line 1") {
		t.Errorf("a line of an upload: %d %s", r.StatusCode, r.body)
	}
}

func TestLimitsSayWhatTheyCount(t *testing.T) {
	s := newServer(t, small)
	for _, c := range []struct{ name, body, encoding, says string }{
		{"plain", strings.Repeat(" ", 101), "", "more than 100 bytes, the limit before and after decompression"},
		{"compressed", zipped(t, strings.Repeat(" ", 101)), "gzip", "more than 100 bytes after decompression"},
		{"compressed, and large", strings.Repeat(" ", 101), "gzip", "more than 100 bytes before decompression"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.encoding != "" {
				headers = []string{"Content-Encoding", c.encoding}
			}
			r := s.do("POST", "/v1/shelves", c.body, headers...)
			if r.StatusCode != http.StatusRequestEntityTooLarge || r.reason(t) != "REQUEST_TOO_LARGE" || !strings.Contains(r.body, c.says) || !strings.Contains(r.body, `"max_bytes":"100"`) {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
}

func TestWhatIsNotReadSaysWhatIs(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct{ path, header, value, want string }{
		{"/v1/shelves", "Content-Type", "text/html", "application/json"},
		{"/v1/shelves:import", "Content-Type", "application/json", "application/x-ndjson, application/jsonl, application/ndjson"},
		{"/v1/shelves", "Content-Encoding", "br", "gzip, identity"},
	} {
		r := s.do("POST", c.path, "{}", c.header, c.value)
		says := map[string]string{"Content-Type": "Accept", "Content-Encoding": "Accept-Encoding"}[c.header]
		if r.StatusCode != http.StatusUnsupportedMediaType || r.Header.Get(says) != c.want {
			t.Errorf("%s: %d %s: %q", c.path, r.StatusCode, says, r.Header.Get(says))
		}
	}
}
