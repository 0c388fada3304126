package edge_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// page is an origin whose pages may call.
const page = "https://app.example.com"

func TestErrorsHaveOneFormWhoeverMakesThem(t *testing.T) {
	r := start(t, edge.Config{MaxBody: 1000, Hosts: []string{"127.0.0.1"}, CORS: edge.CORSConfig{Origins: []string{page}}})
	c := client(t, false)
	echo := string(inJSON(t, fails(codes.NotFound, "none")))
	large := `{"payload":{"body":"` + strings.Repeat("A", 2000) + `"}}`
	for name, test := range map[string]struct {
		method, path, body string
		header             []string
		code               int
		reason             string
	}{
		"of a method":                    {"POST", "/v1/EchoService:echo", echo, nil, 404, "TEST_REASON"},
		"no such path":                   {"GET", "/nowhere", "", nil, 404, "ROUTE_NOT_FOUND"},
		"another HTTP method":            {"GET", "/v1/EchoService:echo", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"another for the document":       {"POST", "/openapi.json", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"another for the page":           {"DELETE", "/docs", "", nil, 405, "METHOD_NOT_ALLOWED"},
		"a large body":                   {"POST", "/v1/EchoService:echo", large, nil, 413, "REQUEST_TOO_LARGE"},
		"a body that is none":            {"POST", "/v1/EchoService:echo", "{", nil, 400, "INVALID_JSON"},
		"another type":                   {"POST", "/v1/EchoService:echo", "{}", []string{"Content-Type", "text/html"}, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"another name":                   {"GET", "/nowhere", "", []string{"Host", "evil.example"}, 421, "HOST_UNKNOWN"},
		"a page that may not":            {"POST", "/v1/EchoService:echo", "{}", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, "ORIGIN_NOT_ALLOWED"},
		"a page that may, no such path":  {"GET", "/nowhere", "", []string{"Origin", page}, 404, "ROUTE_NOT_FOUND"},
		"a page that may, of a method":   {"POST", "/v1/EchoService:echo", echo, []string{"Origin", page}, 404, "TEST_REASON"},
		"a page that may, another verb":  {"PUT", "/v1/EchoService:echo", "{}", []string{"Origin", page}, 405, "METHOD_NOT_ALLOWED"},
		"gRPC over a version without it": {"POST", "/" + echoService + "/Echo", "", []string{"Content-Type", "application/grpc"}, 505, "HTTP_VERSION_NOT_SUPPORTED"},
	} {
		for accept, want := range map[string][]string{
			"application/json":         {"code", "details", "message"},
			"application/problem+json": {"code", "detail", "domain", "instance", "reason", "status", "title", "type"},
		} {
			t.Run(name+" as "+accept, func(t *testing.T) {
				header := append([]string{"Accept", accept}, test.header...)
				if test.body != "" && !slices.Contains(header, "Content-Type") {
					header = append(header, "Content-Type", "application/json")
				}
				resp, text := do(t, c, test.method, url(r, "%s", test.path), test.body, header...)
				var got map[string]any
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatalf("%d %q: %v", resp.StatusCode, text, err)
				}
				delete(got, "metadata") // of some reasons
				delete(got, "errors")   // of those that are about fields
				if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" || resp.StatusCode != test.code || !strings.Contains(text, `"`+test.reason+`"`) {
					t.Errorf("%d %s %s", resp.StatusCode, text, diff)
				}
				if media := resp.Header.Get("Content-Type"); media != accept || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("it is %s: %v", media, resp.Header)
				}
				vary, origins := strings.Split(strings.Join(resp.Header["Vary"], "\n"), ", "), 1
				if test.code == http.StatusMisdirectedRequest { // whoever asks
					origins = 0
				}
				if count(vary, "Accept") != 1 || count(vary, "Origin") != origins {
					t.Errorf("Vary: %q", resp.Header["Vary"])
				}
				if test.code == http.StatusMethodNotAllowed && !strings.Contains(resp.Header.Get("Allow"), "OPTIONS") {
					t.Errorf("Allow: %q", resp.Header["Allow"])
				}
			})
		}
	}
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestAPathThatIsMeantIsNamed(t *testing.T) {
	r := start(t, edge.Config{})
	for path, want := range map[string]string{
		"/v1/EchoService/read/":     `did you mean \"/v1/EchoService/read\"? In a path slashes are not doubled`,
		"/v1//EchoService/read":     `did you mean \"/v1/EchoService/read\"?`,
		"/v1/EchoService%2Fread":    `nothing at \"/v1/EchoService%2Fread\"; did you mean \"/v1/EchoService/read\"? In a path between segments a slash is not percent-encoded`,
		"/v1/EchoService%3Aecho":    `did you mean \"/v1/EchoService:echo\"?`,
		"/nothing/that/is/like/any": "/openapi.json lists the routes",
	} {
		if resp, text := do(t, client(t, false), http.MethodGet, url(r, "%s", path), ""); resp.StatusCode != http.StatusNotFound || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s, want %s", path, resp.StatusCode, text, want)
		}
	}
}

func TestDocumentsAreRead(t *testing.T) {
	r := start(t, edge.Config{})
	c := client(t, false)
	for _, path := range []string{"/openapi.json", "/docs"} {
		whole, text := do(t, c, http.MethodGet, url(r, "%s", path), "", "Accept-Encoding", "identity")
		tag := whole.Header.Get("ETag")
		for _, test := range []struct {
			method string
			header []string
			code   int
			body   string
		}{
			{http.MethodGet, nil, http.StatusOK, text},
			{http.MethodHead, nil, http.StatusOK, ""},
			{http.MethodOptions, nil, http.StatusNoContent, ""},
			{http.MethodGet, []string{"If-None-Match", `"other", ` + tag}, http.StatusNotModified, ""},
			{http.MethodGet, []string{"If-None-Match", "W/" + tag}, http.StatusNotModified, ""},
			{http.MethodGet, []string{"If-None-Match", "*"}, http.StatusNotModified, ""},
			{http.MethodGet, []string{"If-None-Match", `"other"`}, http.StatusOK, text},
		} {
			resp, got := do(t, c, test.method, url(r, "%s", path), "", append(test.header, "Accept-Encoding", "identity")...)
			if resp.StatusCode != test.code || got != test.body || test.code == http.StatusNotModified && resp.Header.Get("ETag") != tag {
				t.Errorf("%s %s %v: %d, %d bytes", test.method, path, test.header, resp.StatusCode, len(got))
			}
			if test.method == http.MethodOptions && resp.Header.Get("Allow") != "GET, HEAD, OPTIONS" {
				t.Errorf("Allow: %q", resp.Header.Get("Allow"))
			}
		}
	}
}

func TestUploadsUnderAllTheirNamesAreStreams(t *testing.T) {
	r := start(t, edge.Config{MaxBody: 1000})
	line := string(inJSON(t, says("x"))) + "\n"
	n := 2000/len(line) + 1
	for _, media := range []string{"application/x-ndjson", "application/jsonl", "application/ndjson; charset=utf-8"} {
		resp, text := do(t, client(t, false), http.MethodPost, url(r, "/v1/EchoService:chat"), strings.Repeat(line, n), "Content-Type", media)
		if resp.StatusCode != http.StatusOK || strings.Count(text, "\n") != n+1 || !strings.HasSuffix(text, `{"status":{"code":0}}`+"\n") {
			t.Errorf("%s: %d %.200s", media, resp.StatusCode, text)
		}
	}
	resp, text := do(t, client(t, false), http.MethodPost, url(r, "/v1/EchoService:chat"), strings.Repeat("x", 2000), "Content-Type", "application/x-ndjson")
	if resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(text, "line 1: the line has more than 1000 bytes") {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	keelsontest.Eventually(t, "the refusal is counted", func() bool { // after the answer
		return r.counted(t, "keelson_edge_refused_total", "reason", "size") == 1
	})
}
