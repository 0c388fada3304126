package internal_test

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/keelson-dev/keelson/keelsontest"
	"github.com/keelson-dev/keelson/services/gateway/internal"
)

// TestAllThatTheEdgeServesIsDescribed reads /openapi.json of a gateway that has the
// committed descriptors, of the platform service too, which it serves by its Go
// type.
func TestAllThatTheEdgeServesIsDescribed(t *testing.T) {
	var log lines
	newGateway(t, newFake(t, echo), func(s *setup) {
		c := &s.config
		c.Edge.Address, s.log = "127.0.0.1:0", &log
		c.Descriptors = []string{filepath.Join("..", "descriptors.binpb")}
		c.Services = nil
		for _, service := range []string{"user.v1.UserService", "audit.v1.AuditService"} {
			c.Services = append(c.Services, internal.ServiceConfig{Service: service, Target: "passthrough:///backend"})
		}
	})
	var doc map[string]any
	keelsontest.Eventually(t, "the description", func() bool {
		at := regexp.MustCompile(`"edge_address":"([^"]+)"`).FindStringSubmatch(log.text())
		if at == nil {
			return false
		}
		resp, err := http.Get("http://" + at[1] + "/openapi.json") //nolint:noctx // a test
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		raw, err := io.ReadAll(resp.Body)
		return err == nil && json.Unmarshal(raw, &doc) == nil
	})
	found := map[string]int{}
	wantDescribed(t, found, doc, "")
	for _, tag := range []string{"PlatformService", "UserService", "AuditService"} {
		raw, _ := json.Marshal(doc["paths"]) //nolint:errchkjson // it was JSON
		if !strings.Contains(string(raw), tag) {
			t.Errorf("%s has no operation", tag)
		}
	}
	if found["operation"] < 15 || found["parameter"] < 20 || found["schema"] < 30 || found["property"] < 100 {
		t.Errorf("looked at %v only", found)
	}
}

// lines keeps what was logged.
type lines struct {
	mu  sync.Mutex
	all []byte
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, p...)
	return len(p), nil
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.all)
}

// linked are properties of messages that are known by their Go types alone: the
// details of errors.
var linked = regexp.MustCompile(`/google\.(rpc|protobuf)\.[^/]+/.*properties/`)

// wantDescribed checks that each operation, parameter, named schema and property of a
// document says what it is.
func wantDescribed(t *testing.T, found map[string]int, node any, path string) {
	t.Helper()
	switch n := node.(type) {
	case []any:
		for _, v := range n {
			wantDescribed(t, found, v, path+"[]")
		}
	case map[string]any:
		kind := ""
		switch parts := strings.Split(path, "/"); {
		case n["responses"] != nil && n["operationId"] != nil:
			kind = "operation"
		case n["in"] != nil && n["name"] != nil && n["schema"] != nil:
			kind = "parameter"
		case strings.HasPrefix(path, "/components/schemas/") && len(parts) == 4:
			kind = "schema"
		case len(parts) > 2 && parts[len(parts)-2] == "properties":
			kind = "property"
		}
		if kind != "" {
			found[kind]++
			if d, _ := n["description"].(string); d == "" && n["$ref"] == nil && !linked.MatchString(path) {
				t.Errorf("%s %s has no description", kind, path)
			}
		}
		for key, v := range n {
			if key != "example" && key != "examples" && key != "default" {
				wantDescribed(t, found, v, path+"/"+strings.ReplaceAll(key, "/", "~"))
			}
		}
	}
}
