package edge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
)

// A main makes the service, puts an edge in front of it, and runs the service: the
// edge starts, drains and ends with it.
func ExampleNew() {
	service, err := keelson.New("shop", keelson.Config{}, keelson.WithLogOutput(io.Discard))
	if err != nil {
		fmt.Println(err)
		return
	}
	front, err := edge.New(service, edge.Config{
		CORS: edge.CORSConfig{Origins: []string{"https://shop.example.com"}},
	}, edge.WithHandler("/hello", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })))
	if err != nil {
		fmt.Println(err)
		return
	}
	// service.Run(ctx) would listen; a handler is one without that.
	answer := httptest.NewRecorder()
	front.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://localhost/hello", nil))
	fmt.Println(answer.Code, answer.Body, answer.Header().Get("X-Content-Type-Options"))

	_, err = edge.New(service, edge.Config{Address: "0.0.0.0:443", CORS: edge.CORSConfig{Origins: []string{"*"}}})
	fmt.Println(err != nil)
	// Output:
	// 200 hello nosniff
	// true
}
