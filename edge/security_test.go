package edge_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

const app = "https://app.example.com"

func TestPagesOfListedOriginsMayCall(t *testing.T) {
	r := start(t, edge.Config{CORS: edge.CORSConfig{Origins: []string{app}, Credentials: true}})
	c := client(t, false)
	resp, _ := do(t, c, http.MethodOptions, url(r, "/%s/Echo", echoService), "", "Origin", app,
		"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,grpc-timeout,x-grpc-web,x-user-agent")
	want := map[string]string{
		"Access-Control-Allow-Origin": app, "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "POST",
		"Access-Control-Allow-Headers": "content-type,grpc-timeout,x-grpc-web,x-user-agent", "Access-Control-Max-Age": "7200",
	}
	got := map[string]string{}
	for k := range want {
		got[k] = resp.Header.Get(k)
	}
	if diff := cmp.Diff(want, got); diff != "" || resp.StatusCode != http.StatusNoContent {
		t.Errorf("%d (-want +got):\n%s", resp.StatusCode, diff)
	}
	resp, _ = do(t, c, http.MethodPost, url(r, "/v1/EchoService:echo"), `{}`, "Content-Type", "application/json", "Origin", app)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Access-Control-Allow-Origin") != app ||
		!strings.Contains(strings.ToLower(resp.Header.Get("Access-Control-Expose-Headers")), "x-correlation-id") || !strings.Contains(strings.Join(resp.Header["Vary"], ","), "Origin") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestAPreflightThatIsRefusedSaysWhy(t *testing.T) {
	r := start(t, edge.Config{CORS: edge.CORSConfig{Origins: []string{app}}})
	for _, c := range []struct {
		verb, names string
		code        int
	}{
		{"POST", "X-Correlation-Id, content-type,connect-timeout-ms", 204}, // as a person writes them
		{"POST", "x-nobody", 403},
		{"TRACE", "", 403},
	} {
		resp, text := do(t, client(t, false), http.MethodOptions, url(r, "/%s/Echo", echoService), "", "Origin", app,
			"Access-Control-Request-Method", c.verb, "Access-Control-Request-Headers", c.names)
		if resp.StatusCode != c.code || (c.code == 204) != (resp.Header.Get("Access-Control-Allow-Origin") == app) || c.code == 403 && !strings.Contains(text, c.names) {
			t.Errorf("%s with %q: %d %v %s", c.verb, c.names, resp.StatusCode, resp.Header, text)
		}
	}
}

func TestPagesOfOtherOriginsGetNothing(t *testing.T) {
	for name, cors := range map[string]edge.CORSConfig{"none is listed": {}, "another is listed": {Origins: []string{app}}} {
		t.Run(name, func(t *testing.T) {
			r := start(t, edge.Config{CORS: cors})
			c := client(t, false)
			for _, test := range []struct {
				name, method, path string
				header             []string
				code               int
			}{
				{"preflight", "OPTIONS", "/" + echoService + "/Echo", []string{"Origin", "https://evil.example", "Access-Control-Request-Method", "POST"}, 403},
				{"form", "POST", "/v1/EchoService:echo", []string{"Origin", "https://evil.example", "Content-Type", "text/plain"}, 403},
				{"fetch", "POST", "/v1/EchoService:echo", []string{"Sec-Fetch-Site", "cross-site", "Content-Type", "application/json"}, 403},
				{"null origin", "POST", "/v1/EchoService:echo", []string{"Origin", "null", "Content-Type", "application/json"}, 403},
				{"read", "GET", "/v1/EchoService/read", []string{"Origin", "https://evil.example"}, 200},
				{"own page", "POST", "/v1/EchoService:echo", []string{"Origin", "http://" + r.Address(), "Content-Type", "application/json"}, 200},
				{"own page of a new browser", "POST", "/v1/EchoService:echo", []string{"Origin", "https://x.example", "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json"}, 200},
			} {
				body := ""
				if test.method == "POST" {
					body = "{}"
				}
				resp, text := do(t, c, test.method, url(r, "%s", test.path), body, test.header...)
				if resp.StatusCode != test.code {
					t.Errorf("%s: %d %s", test.name, resp.StatusCode, text)
				}
				for k := range resp.Header {
					if strings.HasPrefix(k, "Access-Control-") {
						t.Errorf("%s: %s: %s", test.name, k, resp.Header.Get(k))
					}
				}
				if test.code == http.StatusForbidden && refused(t, resp, text).reason() != edge.ReasonOriginNotAllowed {
					t.Errorf("%s: %s", test.name, text)
				}
			}
		})
	}
}

func TestAnyOriginHasToBeSaid(t *testing.T) {
	r := start(t, edge.Config{CORS: edge.CORSConfig{AnyOrigin: true}})
	c := client(t, false)
	resp, _ := do(t, c, http.MethodPost, url(r, "/v1/EchoService:echo"), `{}`, "Content-Type", "application/json", "Origin", "https://any.example")
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	resp, _ = do(t, c, http.MethodPost, url(r, "/v1/EchoService:echo"), `{}`, "Content-Type", "text/plain", "Origin", "https://any.example")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form is answered with %d", resp.StatusCode)
	}
}

func TestAnswersTellBrowsersNotToTrustThem(t *testing.T) {
	r := start(t, edge.Config{}, edge.WithHandler("/console/", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "default-src 'self'")
		_, _ = io.WriteString(w, "page")
	})))
	for path, policy := range map[string]string{"/nowhere": "default-src 'none'; frame-ancestors 'none'", "/console/x": "default-src 'self'"} {
		resp, _ := do(t, client(t, false), http.MethodGet, url(r, "%s", path), "")
		want := map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": policy, "Strict-Transport-Security": ""}
		for k, v := range want {
			if got := resp.Header.Get(k); got != v {
				t.Errorf("%s: %s: %q, want %q", path, k, got, v)
			}
		}
	}
}

// seen is what a handler behind the edge was told.
type seen struct {
	Metadata    metadata.MD
	Peer        string
	Correlation string
	Trace       string
}

// spying runs a service that tells what it was told.
func spying(t *testing.T, cfg edge.Config) (*running, func() seen) {
	t.Helper()
	told := make(chan seen, 1)
	spy := func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		md, _ := metadata.FromIncomingContext(ss.Context())
		p, _ := peer.FromContext(ss.Context())
		c := call.From(ss.Context())
		told <- seen{md, p.Addr.String(), c.CorrelationID, c.SpanContext.TraceID().String()}
		return h(srv, ss)
	}
	r := &running{log: &log{}}
	var err error
	if r.service, err = keelson.New("edgetest", config(), keelson.WithFrames(), keelson.WithLogOutput(r.log), keelson.WithStreamInterceptors(spy)); err != nil {
		t.Fatal(err)
	}
	if err := r.service.Expose(echoService, echo(t, "EchoService"), serveEcho); err != nil {
		t.Fatal(err)
	}
	cfg.Address = "127.0.0.1:0"
	if r.Edge, err = edge.New(r.service, cfg); err != nil {
		t.Fatal(err)
	}
	r.run(t)
	return r, func() seen { return <-told }
}

func TestHeadersOfThePlatformAreDropped(t *testing.T) {
	hostile := []string{
		"X-User-Internal", "root", "X-Forwarded-Client-Cert", "By=me", "Grpc-Previous-Rpc-Attempts", "3", "Grpc-Retry-Pushback-Ms", "1", "Grpc-Tags-Bin", "AA==",
		"Grpc-Trace-Bin", "AA==", "X-Forwarded-For", "9.9.9.9", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "bank", "Forwarded", "for=1", "X-Real-Ip", "9.9.9.9",
		"Baggage", "a=b", "Tracestate", "a=b", "X-Keelson-Any", "1", "X-Chassis-Any", "1", "Keep-Alive", "1", "Proxy-Authorization", "x", "X-Private", "1",
		"Connection", "X-Private",
		"X-Correlation-Id", "good-1", "X-Own", "stays", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	kept := []string{"x-own", "x-correlation-id", "traceparent"}
	for media, body := range map[string]string{"application/grpc-web": "\x00\x00\x00\x00\x00", "application/json": "{}"} {
		t.Run(media, func(t *testing.T) {
			r, told := spying(t, edge.Config{})
			_, _ = do(t, client(t, false), http.MethodPost, url(r, "/%s/Echo", echoService), body, append(hostile, "Content-Type", media, "Connect-Protocol-Version", "1")...)
			got := told()
			for i := 0; i < len(hostile); i += 2 {
				k := strings.ToLower(hostile[i])
				stays := false
				for _, name := range kept {
					stays = stays || name == k
				}
				if v := got.Metadata[k]; (v != nil) != stays {
					t.Errorf("%s: %v", k, v)
				}
			}
			if got.Correlation != "good-1" || got.Trace != "0af7651916cd43dd8448eb211c80319c" || !strings.HasPrefix(got.Peer, "127.0.0.1:") {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestTheTraceOfOutsideCanBeIgnored(t *testing.T) {
	r, told := spying(t, edge.Config{IgnoreTraceparent: true})
	_, _ = do(t, client(t, false), http.MethodPost, url(r, "/v1/EchoService:echo"), "{}", "Content-Type", "application/json",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "X-Correlation-Id", "not valid")
	if got := told(); got.Trace == "0af7651916cd43dd8448eb211c80319c" || len(got.Correlation) != 26 {
		t.Errorf("%+v", got)
	}
}

func TestTrustedProxiesNameTheClient(t *testing.T) {
	for _, test := range []struct {
		name      string
		proxies   []string
		forwarded []string
		want      string
	}{
		{"none is trusted", nil, []string{"9.9.9.9"}, "127.0.0.1:"},
		{"the last is the client", []string{"127.0.0.0/8"}, []string{"1.1.1.1, 9.9.9.9"}, "9.9.9.9:0"},
		{"proxies are skipped", []string{"127.0.0.1", "10.0.0.0/8"}, []string{"1.1.1.1, 9.9.9.9", "10.1.2.3"}, "9.9.9.9:0"},
		{"what is made up is not", []string{"127.0.0.1", "10.0.0.0/8"}, []string{"what, 10.1.2.3"}, "10.1.2.3:0"},
		{"IPv6", []string{"127.0.0.1"}, []string{"[2001:db8::1]:443"}, "[2001:db8::1]:0"},
		{"nothing", []string{"127.0.0.1"}, nil, "127.0.0.1:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, told := spying(t, edge.Config{TrustedProxies: test.proxies})
			header := []string{"Content-Type", "application/json"}
			for _, v := range test.forwarded {
				header = append(header, "X-Forwarded-For", v)
			}
			_, _ = do(t, client(t, false), http.MethodPost, url(r, "/v1/EchoService:echo"), "{}", header...)
			if got := told().Peer; !strings.HasPrefix(got, test.want) {
				t.Errorf("the client is %s, want %s", got, test.want)
			}
		})
	}
}

func TestAConfigurationIsRefusedWithEveryFault(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  edge.Config
		opts []edge.Option
		want []string
	}{
		{"off loopback", edge.Config{Address: "0.0.0.0:80"}, nil, []string{"edge.public: true", "insecure: true"}},
		{"no address", edge.Config{Address: "nonsense"}, nil, []string{"edge.address"}},
		{"origins", edge.Config{CORS: edge.CORSConfig{Origins: []string{"*", "https://*.example.com", "example.com", "https://a/b"}}}, nil,
			[]string{"cors.any_origin: true", "wildcard", "origins[2]", "origins[3]"}},
		{"credentials for all", edge.Config{CORS: edge.CORSConfig{AnyOrigin: true, Credentials: true}}, nil, []string{"cors.credentials"}},
		{"proxies", edge.Config{TrustedProxies: []string{"x", "10.0.0.0/40"}}, nil, []string{"trusted_proxies[0]", "trusted_proxies[1]"}},
		{"negative", edge.Config{MaxStreams: -1, ReadTimeout: -1}, nil, []string{"edge.max_streams", "edge.read_timeout"}},
		{"handlers", edge.Config{}, []edge.Option{edge.WithHandler("/", http.NotFoundHandler()), edge.WithHandler("/{all...}", http.NotFoundHandler()),
			edge.WithHandler("GET x.example/", http.NotFoundHandler()), edge.WithHandler("/a b/{", http.NotFoundHandler()), edge.WithHandler("/nil", nil)},
			[]string{`"/"`, `"/{all...}"`, `"GET x.example/"`, "/a b/{", `"/nil"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := keelson.New("edgetest", config())
			if err != nil {
				t.Fatal(err)
			}
			_, err = edge.New(s, test.cfg, test.opts...)
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %q", err, want)
				}
			}
		})
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	r := start(t, edge.Config{}, edge.WithHandler("/panics", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(errors.New("secret")) })))
	resp, text := do(t, client(t, false), http.MethodGet, url(r, "/panics"), "")
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(text, "secret") || !json.Valid([]byte(text)) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	keelsontest.Eventually(t, "the log tells why", func() bool { return strings.Contains(r.log.String(), "secret") })
}
