package console_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/keelson-dev/keelson/console"
)

func ExampleHandler() {
	mux := http.NewServeMux()
	mux.Handle(console.Path, console.Handler())

	request := httptest.NewRequest(http.MethodGet, "/console/users?filter=ada", nil)
	request.Header.Set("Accept", "text/html")
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, request)
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}
