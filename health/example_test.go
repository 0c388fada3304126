package health_test

import (
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/keelson-dev/keelson/health"
)

func Example() {
	h := health.New(health.Config{})
	h.SetServing("user.v1.UserService")
	start := h.Condition("start")
	show := func() {
		w := httptest.NewRecorder()
		h.Readyz().ServeHTTP(w, httptest.NewRequest("GET", "/readyz", nil))
		body, _, _ := strings.Cut(w.Body.String(), `,"since"`)
		fmt.Println(w.Code, strings.TrimSpace(body))
	}
	show()
	start.Set(true, "")
	show()
	h.Drain()
	show()
	// Output:
	// 503 {"status":"not_ready","reasons":[{"name":"start","status":"not_ready","message":"not reported yet"
	// 200 {"status":"ready","reasons":[]}
	// 503 {"status":"not_ready","reasons":[{"name":"drain","status":"not_ready","message":"the instance is draining"
}
