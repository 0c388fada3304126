package zpages_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/telemetry/zpages"
)

func Example() {
	pages := zpages.New(zpages.Config{})
	mux := http.NewServeMux() // of the debug listener
	mux.Handle("/debug/calls", pages.Handler())

	pages.Begin(&call.Call{Context: context.Background(), Method: policy.NewTable().Unknown(), Start: time.Now()})

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/calls", nil))
	fmt.Println(strings.Contains(w.Body.String(), "In flight (1)"))
	// Output: true
}
