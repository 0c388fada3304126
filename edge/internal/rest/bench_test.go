package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

// BenchmarkUnary is one request through the router, the gRPC server and back,
// without a network.
func BenchmarkUnary(b *testing.B) {
	g := grpc.NewServer()
	userv1.RegisterUserServiceServer(g, users{})
	defer g.Stop()
	rt, err := rest.New(rest.Config{
		Services: []protoreflect.ServiceDescriptor{userv1.File_user_v1_user_proto.Services().ByName("UserService")}, Handler: g,
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ verb, path, body string }{
		{"GET", "/v1/users/alice-1", ""},
		{"POST", "/v1/users?userId=alice-1", `{"email":"alice@example.com","displayName":"Alice","labels":{"team":"infra"}}`},
	} {
		b.Run(c.verb, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(c.verb, c.path, strings.NewReader(c.body))
				if c.body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				w := httptest.NewRecorder()
				rt.ServeHTTP(w, r)
				if w.Code >= http.StatusBadRequest {
					b.Fatalf("%d %s", w.Code, w.Body)
				}
			}
		})
	}
}
