package edge_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
)

func TestPagesCannotReachLoopbackUnderNamesOfTheirOwn(t *testing.T) {
	for name, tc := range map[string]struct {
		hosts []string
		host  string
		want  bool
	}{
		"localhost":                        {nil, "localhost:8080", true},
		"a name below localhost":           {nil, "app.localhost:8080", true},
		"a loopback address":               {nil, "127.0.0.1:8080", true},
		"another loopback address":         {nil, "127.9.9.9", true},
		"IPv6":                             {nil, "[::1]:8080", true},
		"a page's own name":                {nil, "evil.example.com:8080", false},
		"a name that begins like loopback": {nil, "127.0.0.1.example.com:8080", false},
		"a name that ends like localhost":  {nil, "notlocalhost:8080", false},
		"another machine's address":        {nil, "192.0.2.1:8080", false},
		"nothing":                          {nil, "", false},
		"a configured name":                {[]string{"api.example.com"}, "API.example.com:443", true},
		"not a configured name":            {[]string{"api.example.com"}, "example.com", false},
		"any name":                         {[]string{"*"}, "evil.example.com", true},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := keelson.New("edgetest", config(), keelson.WithLogOutput(io.Discard))
			if err != nil {
				t.Fatal(err)
			}
			e, err := edge.New(s, edge.Config{Address: "127.0.0.1:0", Hosts: tc.hosts})
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodGet, "/nothing/here", nil)
			r.Host = tc.host
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if refused := w.Code == http.StatusMisdirectedRequest; refused == tc.want {
				t.Errorf("answer %d: %s", w.Code, w.Body)
			}
			if !tc.want && !strings.Contains(w.Body.String(), edge.ReasonHostUnknown) {
				t.Errorf("the answer does not say why: %s", w.Body)
			}
		})
	}
}
