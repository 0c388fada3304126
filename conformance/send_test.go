package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"
)

// request makes the request of a call.
func (w *world) request(ctx context.Context, t *testing.T, base string, o *operation, c call) *http.Request {
	t.Helper()
	body := c.body
	streams := o.takesLines()
	r, err := http.NewRequestWithContext(ctx, o.verb, base+c.path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case body == "":
		r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0
	case streams:
		r.Header.Set("Content-Type", "application/x-ndjson")
	default:
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	for name, tag := range map[string]string{"If-Match": c.ifMatch, "If-None-Match": c.had} {
		if tag == "current" {
			tag = fieldOf(fetch(t, base+ada), "etag")
		}
		if tag != "" {
			r.Header.Set(name, tag)
		}
	}
	return r
}

// send makes a call and reads its answer: of a stream what comes before the item
// that is waited for, and that.
func (w *world) send(ctx context.Context, t *testing.T, base string, o *operation, c call) (*http.Response, []byte, *openapi3filter.RequestValidationInput) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	checked := ctx
	if c.want >= http.StatusBadRequest || o.takesLines() {
		checked = nil // wrong on purpose, or lines, which kin-openapi does not read
	}
	input, err := w.doc.validateRequest(checked, o, w.request(ctx, t, base, o, c))
	if err != nil {
		t.Fatalf("kin-openapi, of the request: %v", err)
	}
	answer, err := client.Do(w.request(ctx, t, base, o, c))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if !isStream(answer) || c.until == "" {
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatalf("read the answer: %v", err)
		}
		checkEnd(t, answer, body)
		return answer, body, input
	}
	var body strings.Builder
	found := false
	for r := bufio.NewReader(answer.Body); ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended without %q: %v", c.until, err)
		}
		body.WriteString(line)
		found = found || strings.Contains(line, c.until)
		if found && (line == "\n" || strings.HasPrefix(line, "{")) {
			return answer, []byte(body.String()), input
		}
	}
}

// checkEnd checks that a stream of lines which ended says how.
func checkEnd(t *testing.T, answer *http.Response, body []byte) {
	t.Helper()
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/x-ndjson") {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(body)), "\n")
	var last struct{ Status *struct{ Code int } }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Status == nil {
		t.Errorf("the last line is no status: %s", lines[len(lines)-1])
	}
}
