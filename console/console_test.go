package console_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/console"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, target string, header ...string) *http.Response {
	t.Helper()
	return do(t, http.MethodGet, target, header...)
}

func do(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	console.Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func asset(t *testing.T, suffix string) string {
	t.Helper()
	page := body(t, get(t, "/console/", "Accept", "text/html"))
	path := regexp.MustCompile(`/console/assets/[\w.-]+` + regexp.QuoteMeta(suffix)).FindString(page)
	if path == "" {
		t.Fatalf("index.html names no %s:\n%s", suffix, page)
	}
	return path
}

func TestPathsAreAnswered(t *testing.T) {
	t.Parallel()
	const navigate = "navigate"
	script := asset(t, ".js")
	type answer struct {
		Status      int
		ContentType string
		Cache       string
	}
	page := answer{http.StatusOK, "text/html; charset=utf-8", "no-cache"}
	missing := answer{http.StatusNotFound, "text/plain; charset=utf-8", "no-store"}
	for _, tc := range []struct {
		name, target string
		header       []string
		want         answer
	}{
		{"the page", "/console/", []string{"Accept", "text/html"}, page},
		{"the page without a slash", "/console", []string{"Sec-Fetch-Mode", navigate}, page},
		{"the page for whoever asks", "/console/", nil, page},
		{"the page without a slash for whoever asks", "/console", []string{"Accept", "*/*"}, page},
		{"the page by its name", "/console/index.html", nil, page},
		{"a deep link that a browser navigates to", "/console/users/ada-l?filter=x", []string{"Sec-Fetch-Mode", navigate, "Accept", "text/html"}, page},
		{"a deep link of a client that wants a page", "/console/platform", []string{"Accept", "text/html,*/*;q=0.8"}, page},
		{"a deep link that a script fetches", "/console/users/ada-l", []string{"Sec-Fetch-Mode", "cors", "Accept", "text/html"}, missing},
		{"a deep link that wants no page", "/console/users", []string{"Accept", "application/json"}, missing},
		{"a script", script, nil, answer{http.StatusOK, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"}},
		{"a style sheet", asset(t, ".css"), nil, answer{http.StatusOK, "text/css; charset=utf-8", "public, max-age=31536000, immutable"}},
		{"a file without a digest", "/console/theme.js", nil, answer{http.StatusOK, "text/javascript; charset=utf-8", "no-cache"}},
		{"an image", "/console/mark.svg", nil, answer{http.StatusOK, "image/svg+xml", "no-cache"}},
		{"a script of another build, as a page", "/console/assets/index-00000000.js", []string{"Sec-Fetch-Mode", navigate}, missing},
		{"a folder", "/console/assets/", []string{"Accept", "text/html"}, missing},
		{"a way out", "/console/../etc/passwd", nil, missing},
		{"another path", "/consoles", []string{"Accept", "text/html"}, missing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := get(t, tc.target, tc.header...)
			got := answer{r.StatusCode, r.Header.Get("Content-Type"), r.Header.Get("Cache-Control")}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnswersForbidWhatIsOfOtherOrigins(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/console/", "/console/missing", "/console/theme.js"} {
		r := get(t, target)
		csp := r.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, part) {
				t.Errorf("%s: the policy %q lacks %q", target, csp, part)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy %q permits what is unsafe", target, csp)
		}
		if got := r.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options is %q", target, got)
		}
	}
}

func TestThePageHasNothingInline(t *testing.T) {
	t.Parallel()
	page := body(t, get(t, "/console/", "Accept", "text/html"))
	if m := regexp.MustCompile(`(?i)<style|\sstyle=|\son\w+=|<script(?:[^>](?:[^s>]|s[^r>])*)?>[^<]`).FindString(page); m != "" {
		t.Errorf("index.html has %q, which the policy forbids:\n%s", m, page)
	}
}

func TestAFileThatIsTheSameIsNotSentAgain(t *testing.T) {
	t.Parallel()
	first := get(t, "/console/theme.js")
	again := get(t, "/console/theme.js", "If-None-Match", first.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || body(t, again) != "" {
		t.Errorf("asked again with %s: status %d, want 304 without a body", first.Header.Get("ETag"), again.StatusCode)
	}
}

func TestOnlyReadingIsAnswered(t *testing.T) {
	t.Parallel()
	if r := do(t, http.MethodPost, "/console/"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
	head := do(t, http.MethodHead, "/console/theme.js")
	if head.StatusCode != http.StatusOK || body(t, head) != "" || head.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: status %d, headers %v", head.StatusCode, head.Header)
	}
}
