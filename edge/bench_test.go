package edge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/keelson-dev/keelson/edge"
)

// BenchmarkUnary is one call at a time in each protocol over a connection that
// stays, client included.
func BenchmarkUnary(b *testing.B) {
	of := config()
	of.Log.Sample = 0.001
	r := startWith(b, of, edge.Config{H2C: true})
	web := client(b, true)
	path := url(r, "/%s/Echo", echoService)
	b.Run("grpc", func(b *testing.B) {
		conn := dial(b, r.Address())
		b.ReportAllocs()
		for b.Loop() {
			var m response
			if err := conn.Invoke(b.Context(), "/"+echoService+"/Echo", says("x"), &m); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, w := range []struct {
		name string
		opts []connect.ClientOption
	}{{"grpc-web", []connect.ClientOption{connect.WithGRPCWeb()}}, {"connect", nil}, {"connect-json", []connect.ClientOption{connect.WithProtoJSON()}}} {
		b.Run(w.name, func(b *testing.B) {
			c := connect.NewClient[request, response](web, path, w.opts...)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.CallUnary(b.Context(), connect.NewRequest(says("x"))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, w := range []struct{ name, path, media, body string }{
		{"grpc-web-text", path, "application/grpc-web-text", "AAAAAAA="},
		{"rest", url(r, "/v1/EchoService:echo"), "application/json", `{"payload":{"body":"eA=="}}`},
	} {
		b.Run(w.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				resp, err := web.Post(w.path, w.media, strings.NewReader(w.body)) //nolint:noctx // it ends
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
		})
	}
}
