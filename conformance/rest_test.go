package conformance_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	processtest "github.com/keelson-dev/keelson/internal/testservers/process"
)

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// callTimeout bounds one call, retries included: beyond it something is stuck.
const callTimeout = time.Minute

// world is a platform and what was called of it.
type world struct {
	doc        *document
	operations map[string]*operation
	provoked   map[string]map[int]bool
}

func TestEveryDocumentedOperationAnswersAsDocumented(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	registry := t.TempDir()
	gateway := processtest.Build(t, root, "./services/gateway/cmd/gateway")
	env := []string{"KEELSON_EDGE__ADDRESS=127.0.0.1:0", "KEELSON_DESCRIPTORS=" + filepath.Join(root, "services", "gateway", "descriptors.binpb")}
	processtest.Start(t, registry, processtest.Build(t, root, "./services/user/cmd/user"))
	processtest.Start(t, registry, processtest.Build(t, root, "./services/audit/cmd/audit"))
	at := func(more ...string) string {
		return "http://" + processtest.Start(t, registry, gateway, append(slices.Clone(env), more...)...).Meta["edge_address"]
	}
	base := at()
	w := &world{doc: documentAt(t, base), provoked: map[string]map[int]bool{}}
	w.operations = w.doc.operations()

	for _, c := range calls {
		t.Run(fmt.Sprintf("%s %d %s", c.operation, c.want, c.path), func(t *testing.T) { w.call(t, base, c) })
	}
	t.Run("over the limit", func(t *testing.T) {
		limited := at("KEELSON_LIMITS__RATE=0.001", "KEELSON_LIMITS__BURST=1")
		w.call(t, limited, call{operation: platform + "ListServices", path: "/v1/services", want: http.StatusOK})
		w.all(t, limited, http.StatusTooManyRequests, nil)
	})
	t.Run("without a backend", func(t *testing.T) {
		config := filepath.Join(t.TempDir(), "gateway.yaml")
		services := "services:\n- {service: user.v1.UserService, target: nobody}\n- {service: audit.v1.AuditService, target: nobody}\nready_timeout: 10ms\n"
		if err := os.WriteFile(config, []byte(services), 0o600); err != nil {
			t.Fatal(err)
		}
		w.all(t, at("KEELSON_CONFIG="+config), http.StatusServiceUnavailable, nil, platform)
	})
	t.Run("out of time", func(t *testing.T) {
		w.all(t, base, http.StatusGatewayTimeout, map[string]string{"X-Server-Timeout": "0.000000001"})
	})
	t.Run("an answer that nobody takes", func(t *testing.T) {
		w.all(t, base, http.StatusNotAcceptable, map[string]string{"Accept": "image/png"})
	})
	t.Run("a body of another type", func(t *testing.T) {
		w.all(t, base, http.StatusUnsupportedMediaType, map[string]string{"Content-Type": "text/html"})
	})
	t.Run("a body that is too large", func(t *testing.T) {
		w.all(t, at("KEELSON_EDGE__MAX_BODY=1B"), http.StatusRequestEntityTooLarge, nil)
	})
	w.checkComplete(t)
}

// all makes the first call of each operation that documents such an answer, which is
// to fail now.
func (w *world) all(t *testing.T, base string, want int, header map[string]string, but ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range calls {
		if seen[c.operation] || slices.ContainsFunc(but, func(prefix string) bool { return strings.HasPrefix(c.operation, prefix) }) {
			continue
		}
		seen[c.operation] = true
		if o := w.operations[c.operation]; o == nil || !slices.Contains(o.statuses(), strconv.Itoa(want)) {
			continue
		}
		c.want, c.until, c.ifMatch, c.had, c.header = want, "", "", "", header
		t.Run(c.operation, func(t *testing.T) { w.call(t, base, c) })
	}
}

// checkComplete fails for what is documented and was not seen.
func (w *world) checkComplete(t *testing.T) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(w.operations)) {
		for _, status := range w.operations[id].statuses() {
			code, _ := strconv.Atoi(status)
			if !w.provoked[id][code] && unprovoked[""][status] == "" && unprovoked[id][status] == "" {
				t.Errorf("%s documents %s, and no call was answered so; add one to calls_test.go, or say there why there is none", id, status)
			}
		}
	}
}

// call makes one call and checks its answer.
func (w *world) call(t *testing.T, base string, c call) {
	t.Helper()
	o := w.operations[c.operation]
	if o == nil {
		t.Fatalf("the document has no operation %s", c.operation)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callTimeout)
	defer cancel()
	for {
		answer, body, input := w.send(ctx, t, base, o, c)
		if !isStream(answer) && c.until != "" && !strings.Contains(string(body), c.until) && ctx.Err() == nil {
			continue // it takes a moment until the audit service has heard
		}
		if answer.StatusCode != c.want {
			t.Fatalf("answered %s, want %d:\n%s", answer.Status, c.want, body)
		}
		if err := w.doc.validateAnswer(ctx, input, answer, body); err != nil {
			t.Errorf("kin-openapi: %v", err)
		}
		w.checkBody(t, o, answer, body)
		break
	}
	if w.provoked[o.id] == nil {
		w.provoked[o.id] = map[int]bool{}
	}
	w.provoked[o.id][c.want] = true
}

// checkBody validates a body: all of it, or each item of a stream.
func (w *world) checkBody(t *testing.T, o *operation, answer *http.Response, body []byte) {
	t.Helper()
	media, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	if answer.Header.Get("X-Correlation-Id") == "" {
		t.Error("the answer has no correlation ID")
	}
	status := answer.StatusCode
	if (status == http.StatusTooManyRequests) && answer.Header.Get("Retry-After") == "" {
		t.Error("the answer does not say when to come again")
	}
	switch {
	case status == http.StatusNotModified:
		if len(body) > 0 {
			t.Errorf("304 has a body: %s", body)
		}
	case media == "text/event-stream":
		w.checkEvents(t, o, string(body))
	case media == "application/x-ndjson":
		for line := range strings.Lines(string(body)) {
			if err := w.doc.check(o, status, media, decode(t, []byte(line)), "x-line-schema"); err != nil {
				t.Errorf("%v\nin the line %s", err, line)
			}
		}
	default:
		if err := w.doc.check(o, status, media, decode(t, body), "schema"); err != nil {
			t.Errorf("%v\nin %s", err, body)
		}
	}
}

// checkEvents validates the data of each event by the schema of its name.
func (w *world) checkEvents(t *testing.T, o *operation, body string) {
	t.Helper()
	count := 0
	for event := range strings.SplitSeq(body, "\n\n") {
		fields := map[string]string{}
		for line := range strings.Lines(event) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			fields[name] = value
		}
		if fields["data"] == "" {
			continue
		}
		count++
		if err := w.doc.check(o, http.StatusOK, "text/event-stream", decode(t, []byte(fields["data"])), "x-events", fields["event"], "schema"); err != nil {
			t.Errorf("%v\nin the event %s", err, event)
		}
	}
	if count == 0 {
		t.Errorf("there is no event in %q", body)
	}
}

func isStream(answer *http.Response) bool {
	media := answer.Header.Get("Content-Type")
	return strings.HasPrefix(media, "text/event-stream") || strings.HasPrefix(media, "application/x-ndjson")
}
