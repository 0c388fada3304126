package edge_test

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/keelsontest"
)

func TestHeadersOfAServicesOwnPass(t *testing.T) {
	back := func(_ any, ss grpc.ServerStream) error {
		if err := ss.RecvMsg(&grpc_testing.SimpleRequest{}); err != nil {
			return err
		}
		md, _ := metadata.FromIncomingContext(ss.Context())
		if err := ss.SetHeader(metadata.Pairs("x-shelf", strings.Join(md.Get("x-tenant"), "+"), "x-secret", strings.Join(md.Get("x-other"), "+"))); err != nil {
			return err
		}
		return ss.SendMsg(&grpc_testing.SimpleResponse{})
	}
	const origin = "https://app.example.com"
	r := startServing(t, config(), edge.Config{
		RequestHeaders: []string{"x-tenant"}, ResponseHeaders: []string{"X-Shelf"}, CORS: edge.CORSConfig{Origins: []string{origin}},
	}, back)
	for name, path := range map[string]string{"REST": "/v1/EchoService:echo", "Connect": "/edgetest.v1.EchoService/Echo"} {
		resp, body := do(t, client(t, false), "POST", url(r, "%s", path), "{}", "Content-Type", "application/json", "X-Tenant", "a", "X-Tenant", "b", "X-Other", "c", "Origin", origin)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Shelf") != "a+b" {
			t.Errorf("%s: %s %s %v", name, resp.Status, body, resp.Header)
		}
		if other := resp.Header.Get("X-Secret"); name == "REST" && other != "" {
			t.Errorf("a header that nobody named passed: %q", other)
		}
		if exposed := resp.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "X-Shelf") {
			t.Errorf("%s: pages may read %s", name, exposed)
		}
	}
}

func TestPreflightsPermitWhatIsDocumented(t *testing.T) {
	const origin = "https://app.example.com"
	r := start(t, edge.Config{RequestHeaders: []string{"X-Tenant", "x-trace-bin"}, CORS: edge.CORSConfig{Origins: []string{origin}}})
	ask := func(method, headers string) (*http.Response, string) {
		return do(t, client(t, false), "OPTIONS", url(r, "/v1/EchoService:echo"), "", "Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", headers)
	}
	for _, headers := range []string{
		"x-server-timeout,content-type,if-match", "content-encoding,content-type", "traceparent,tracestate,baggage", "x-tenant,x-trace-bin",
		"connect-protocol-version,connect-timeout-ms,content-type,x-user-agent", "content-type,grpc-timeout,x-grpc-web,x-user-agent",
	} {
		if resp, body := ask("POST", headers); resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %s %s", headers, resp.Status, body)
		}
	}
	for says, c := range map[string][2]string{
		`may not send the headers \"x-nobody, x-other\"; the operator lists those of services in edge.request_headers`: {"POST", "authorization,x-nobody,content-type,x-other"},
		`may not use the HTTP method \"PURGE\"; they may use GET, POST`:                                                {"PURGE", "content-type"},
	} {
		if resp, body := ask(c[0], c[1]); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, says) {
			t.Errorf("%v: %s %s", c, resp.Status, body)
		}
	}
}

func TestHeadersThatCannotPassAreRefused(t *testing.T) {
	s, err := keelson.New("edgetest", config())
	if err != nil {
		t.Fatal(err)
	}
	_, err = edge.New(s, edge.Config{
		RequestHeaders:  []string{"X-Tenant", "x tenant", "X-Acme-*", "x-keelson-peer", "content-length", "Forwarded"},
		ResponseHeaders: []string{"x-ok", "", "set-cookie", "grpc-status", "x-correlation-id"},
	})
	for _, want := range []string{
		`edge.request_headers[1]: "x tenant" is no name`, `edge.request_headers[2]: "X-Acme-*" is no name`, `edge.request_headers[3]: "x-keelson-peer" never passes`,
		"edge.request_headers[4]", "edge.request_headers[5]", "edge.response_headers[1]", "edge.response_headers[2]", "edge.response_headers[3]", "edge.response_headers[4]",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	for _, right := range []string{"request_headers[0]", "response_headers[0]"} {
		if err != nil && strings.Contains(err.Error(), right) {
			t.Errorf("%v; %s is right", err, right)
		}
	}
}

func TestRoutesThatCannotBeReachedAreTold(t *testing.T) {
	mine := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r := start(t, edge.Config{}, edge.WithHandler("/v1/EchoService/", mine))
	_, document := do(t, client(t, false), "GET", url(r, "/openapi.json"), "")
	if strings.Contains(document, "/v1/EchoService/read") || !strings.Contains(document, "/v1/EchoService:echo") {
		t.Errorf("the document is %s", document)
	}
	keelsontest.Eventually(t, "the log to name the route", func() bool {
		return strings.Contains(r.log.String(), "GET /v1/EchoService/read is where something else is served")
	})
}
