package edge_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
)

// tellAll sets metadata of every kind and refuses. List sends a message before.
func tellAll(_ any, ss grpc.ServerStream) error {
	s := stream{ss}
	m, err := s.receive()
	if err != nil {
		return err
	}
	all := metadata.Pairs("x-own", "stays", "x-own-bin", "\x01", "grpc-retry-pushback-ms", "1500", "grpc-server-stats-bin", "\x01", "grpc-tags-bin", "\x01",
		"set-cookie", "a=b", "connection", "x-own", "access-control-allow-origin", "*", "content-security-policy", "none", "x-user-internal", "root",
		"x-forwarded-for", "10.0.0.1", "x-keelson-any", "1", "retry-after", "9", "ratelimit", `"client";r=0;t=2`, "ratelimit-policy", `"client";q=1;w=1`)
	if m.GetFillOauthScope() { // as header
		if err := ss.SetHeader(metadata.Pairs("x-first", "stays", "grpc-tags-bin", "\x01", "set-cookie", "a=b", "strict-transport-security", "no")); err != nil {
			return err
		}
	}
	ss.SetTrailer(all)
	for range m.GetResponseSize() {
		if err := s.send(m); err != nil {
			return err
		}
	}
	return errs.ResourceExhausted(errs.ReasonRateLimited, "too many").With(errs.RetryAfter(1500 * time.Millisecond))
}

// hidden are names that no answer over HTTP may have from metadata.
var hidden = []string{
	"Grpc-Retry-Pushback-Ms", "Grpc-Server-Stats-Bin", "Grpc-Tags-Bin", "Set-Cookie", "Access-Control-Allow-Origin", "X-User-Internal",
	"X-Forwarded-For", "X-Keelson-Any", "Strict-Transport-Security",
}

// headerOf is what an answer's header says of some names.
func headerOf(h http.Header, names ...string) map[string][]string {
	got := map[string][]string{}
	for _, name := range names {
		if v := h.Values(name); v != nil {
			got[name] = v
		}
	}
	return got
}

func TestARefusalSaysWhenToComeAgainInEveryProtocol(t *testing.T) {
	r := startServing(t, config(), edge.Config{}, tellAll)
	limits := []string{"Ratelimit", "Ratelimit-Policy", "Retry-After", "X-Correlation-Id"}
	want := map[string][]string{
		"Ratelimit": {`"client";r=0;t=2`}, "Ratelimit-Policy": {`"client";q=1;w=1`}, "Retry-After": {"2"}, "X-Correlation-Id": {"mine"},
	}
	for name, test := range map[string]struct {
		path, media, body string
		code              int
	}{
		"REST":            {"/v1/EchoService:echo", "application/json", "{}", 429},
		"Connect":         {"/" + echoService + "/Echo", "application/json", "{}", 429},
		"Connect, header": {"/" + echoService + "/Echo", "application/json", `{"fillOauthScope":true}`, 429},
		"Connect, binary": {"/" + echoService + "/Echo", "application/proto", "", 429},
		"Connect, stream": {"/" + echoService + "/List", "application/connect+json", "\x00\x00\x00\x00\x02{}", 200},
		"gRPC-Web":        {"/" + echoService + "/Echo", "application/grpc-web", "\x00\x00\x00\x00\x00", 200},
		"gRPC-Web, text":  {"/" + echoService + "/Echo", "application/grpc-web-text", "AAAAAAA=", 200},
	} {
		t.Run(name, func(t *testing.T) {
			resp, text := do(t, client(t, false), http.MethodPost, url(r, "%s", test.path), test.body, "Content-Type", test.media, edge.CorrelationHeader, "mine")
			if diff := cmp.Diff(want, headerOf(resp.Header, limits...)); diff != "" || resp.StatusCode != test.code {
				t.Errorf("%d %s (-want +got):\n%s", resp.StatusCode, text, diff)
			}
			for _, name := range hidden {
				if v := append(resp.Header.Values(name), resp.Header.Values("Trailer-"+name)...); v != nil || strings.Contains(strings.ToLower(text), strings.ToLower(name)) {
					t.Errorf("%s: %q, in the body %q", name, v, text)
				}
			}
			if got := resp.Header.Get("Content-Security-Policy"); got != "default-src 'none'; frame-ancestors 'none'" {
				t.Errorf("the policy is %q", got)
			}
		})
	}
}

func TestMetadataOfTheServiceLeaves(t *testing.T) {
	r := startServing(t, config(), edge.Config{H2C: true}, tellAll)
	for name, test := range map[string]struct {
		path, media, body string
		header            map[string][]string
		says              []string // in the body
	}{
		"Connect": {"Echo", "application/json", `{"fillOauthScope":true}`,
			map[string][]string{"Trailer-X-Own": {"stays"}, "Trailer-X-Own-Bin": {"AQ"}, "X-First": {"stays"}}, nil},
		"Connect, stream": {"List", "application/connect+json", framed(t, "application/json", &request{FillOauthScope: true, ResponseSize: 1}),
			map[string][]string{"X-First": {"stays"}}, []string{`"X-Own":["stays"]`, `"Ratelimit"`}},
		"gRPC-Web": {"Echo", "application/grpc-web", "\x00\x00\x00\x00\x00", map[string][]string{"X-Own": {"stays"}, "X-Own-Bin": {"AQ"}}, nil},
		"gRPC-Web after a message": {"List", "application/grpc-web+json", framed(t, "application/json", &request{FillOauthScope: true, ResponseSize: 1}),
			map[string][]string{"X-First": {"stays"}}, []string{"x-own: stays\r\n", "x-own-bin: AQ\r\n", "ratelimit: ", "grpc-status: 8\r\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp, text := do(t, client(t, false), http.MethodPost, url(r, "/%s/%s", echoService, test.path), test.body, "Content-Type", test.media)
			if diff := cmp.Diff(test.header, headerOf(resp.Header, "Trailer-X-Own", "Trailer-X-Own-Bin", "X-Own", "X-Own-Bin", "X-First")); diff != "" {
				t.Errorf("%d %s (-want +got):\n%s", resp.StatusCode, text, diff)
			}
			for _, want := range test.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
			if n := strings.Count(strings.ToLower(text), "retry-after"); n > 0 {
				t.Errorf("%q says of the header what only HTTP's header says", text)
			}
		})
	}
	t.Run("gRPC", func(t *testing.T) {
		var trailer metadata.MD
		err := dial(t, r.Address()).Invoke(t.Context(), "/"+echoService+"/Echo", says("x"), &response{}, grpc.Trailer(&trailer))
		if errs.Code(err) != codes.ResourceExhausted || len(trailer["grpc-retry-pushback-ms"]) != 1 || len(trailer["x-own"]) != 1 {
			t.Errorf("%v with %v", err, trailer)
		}
	})
}

func TestWhatTheEdgeRefusesSaysWhenToComeAgain(t *testing.T) {
	r := start(t, edge.Config{})
	if err := r.service.Expose("edgetest.v1.LaterService", nil, serveEcho); err != nil {
		t.Fatal(err)
	}
	for media, code := range map[string]int{
		"application/json": 503, "application/proto": 503, "application/connect+json": 200, "application/grpc-web": 200, "application/grpc-web-text+proto": 200, "text/plain": 503,
	} {
		t.Run(media, func(t *testing.T) {
			resp, text := do(t, client(t, false), http.MethodPost, url(r, "/edgetest.v1.LaterService/Echo"), "", "Content-Type", media)
			if resp.StatusCode != code || resp.Header.Get("Retry-After") != "1" {
				t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
			}
			if strings.Contains(media, "grpc") {
				if err := statusOf(t, resp.Header); errs.Code(err) != codes.Unavailable || errs.From(err).Reason() != errs.ReasonNoReadyInstance || errs.From(err).Domain() != "edge.test" {
					t.Errorf("%v", err)
				}
			}
		})
	}
	rest := func() (*http.Response, string) {
		return do(t, client(t, false), http.MethodPost, url(r, "/v1/LaterService:echo"), "{}", "Content-Type", "application/json")
	}
	if resp, text := rest(); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != "1" || !strings.Contains(text, "LaterService") {
		t.Errorf("over REST, whose paths are not known either: %d %v %s", resp.StatusCode, resp.Header, text)
	}
	if err := r.service.Expose("edgetest.v1.LaterService", echo(t, "LaterService"), serveEcho); err != nil {
		t.Fatal(err)
	}
	if resp, text := rest(); resp.StatusCode != http.StatusOK {
		t.Errorf("over REST, once they are known: %d %s", resp.StatusCode, text)
	}
	if resp, text := do(t, client(t, false), http.MethodPost, url(r, "/edgetest.v1.LaterService/Echo"), "{}", "Content-Type", "application/json"); resp.StatusCode != http.StatusOK {
		t.Errorf("once they are known: %d %s", resp.StatusCode, text)
	}
}
