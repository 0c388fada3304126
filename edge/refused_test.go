package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

// Who is told a correlation ID looks for it in the log.
func TestWhatRESTRefusesIsCountedAndTold(t *testing.T) {
	for name, c := range map[string]struct {
		verb, body, media, accept string
		code                      int
		reason                    string
	}{
		"no JSON":         {http.MethodPost, "{", "application/json", "", 400, "malformed"},
		"no field":        {http.MethodPost, `{"nobody":1}`, "application/json", "", 400, "malformed"},
		"too large":       {http.MethodPost, `"` + strings.Repeat("x", 2000) + `"`, "application/json", "", 413, "size"},
		"another type":    {http.MethodPost, "{}", "text/plain", "", 415, "protocol"},
		"another answer":  {http.MethodPost, "{}", "application/json", "image/png", 406, "protocol"},
		"another method":  {http.MethodPut, "{}", "application/json", "", 405, "protocol"},
		"nothing refused": {http.MethodPost, "{}", "application/json", "", 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, edge.Config{MaxBody: 1000})
			header := []string{"Content-Type", c.media, edge.CorrelationHeader, "mine-1"}
			if c.accept != "" {
				header = append(header, "Accept", c.accept)
			}
			resp, text := do(t, client(t, false), c.verb, url(r, "/v1/EchoService:echo"), c.body, header...)
			if resp.StatusCode != c.code {
				t.Fatalf("%d %s", resp.StatusCode, text)
			}
			keelsontest.Eventually(t, "there is a line", func() bool { return strings.Contains(r.log.String(), "mine-1") })
			if told := strings.Contains(r.log.String(), `"refused":"`+c.reason+`"`); told != (c.reason != "") {
				t.Errorf("the log says %s", r.log.String())
			}
			if c.reason != "" && r.counted(t, "keelson_edge_refused_total", "reason", c.reason) != 1 {
				t.Error("it was not counted once")
			}
		})
	}
}

func TestALineOfTheEdgeNamesTheMethodThatWasMeant(t *testing.T) {
	r := start(t, edge.Config{})
	for id, c := range map[string]struct{ path, want string }{
		"by-rest":  {"/v1/EchoService:echo", `"rpc.method":"Echo"`},
		"by-name":  {"/" + echoService + "/List", `"rpc.method":"List"`},
		"by-route": {"/nowhere", ""},
	} {
		path, want := c.path, c.want
		do(t, client(t, false), http.MethodPut, url(r, "%s", path), "{}", "Content-Type", "application/json", edge.CorrelationHeader, id)
		keelsontest.Eventually(t, "there is a line", func() bool { return strings.Contains(r.log.String(), id) })
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, id) && (!strings.Contains(line, want) || want == "" && strings.Contains(line, "rpc.")) {
				t.Errorf("%s: %s", path, line)
			}
		}
	}
}
