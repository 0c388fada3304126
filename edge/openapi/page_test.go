package openapi_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/edge/openapi"
)

func get(t *testing.T, method string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/docs", nil)
	r.Header = header
	w := httptest.NewRecorder()
	openapi.Page().ServeHTTP(w, r)
	return w.Result()
}

func TestPagePolicyNamesExactlyWhatThePageHolds(t *testing.T) {
	answer := get(t, http.MethodGet, nil)
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	for _, tag := range []string{"script", "style"} {
		found := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllSubmatch(body, -1)
		if len(found) != 1 {
			t.Fatalf("there are %d <%s>, want 1", len(found), tag)
		}
		sum := sha256.Sum256(found[0][1])
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy %q does not have %q", policy, want)
		}
	}
	for _, want := range []string{"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy %q does not have %q", policy, want)
		}
	}
	if found := regexp.MustCompile(`(?i)(src|href)="(https?:)?//|\son[a-z]+=|style="|innerHTML|{{`).Find(body); found != nil {
		t.Errorf("the page has %q", found)
	}
}

func TestPageIsSmall(t *testing.T) {
	body, err := io.ReadAll(get(t, http.MethodGet, nil).Body)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if most := 20 << 10; packed.Len() > most {
		t.Errorf("the page has %d bytes after gzip, at most %d are good", packed.Len(), most)
	}
}

func TestPageAnswersReadsAlone(t *testing.T) {
	etag := get(t, http.MethodGet, nil).Header.Get("ETag")
	for name, test := range map[string]struct {
		method string
		header http.Header
		want   int
	}{
		"GET":           {http.MethodGet, nil, 200},
		"HEAD":          {http.MethodHead, nil, 200},
		"had it before": {http.MethodGet, http.Header{"If-None-Match": {etag}}, 304},
		"POST":          {http.MethodPost, nil, 405},
	} {
		t.Run(name, func(t *testing.T) {
			if got := get(t, test.method, test.header).StatusCode; got != test.want {
				t.Errorf("%d, want %d", got, test.want)
			}
		})
	}
}
