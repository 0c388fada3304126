package edge_test

import (
	"encoding/json"
	"net/http"
	neturl "net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/edge"
	"github.com/keelson-dev/keelson/errs"
)

// problem is an error as RFC 9457 has it.
type problem struct {
	Status               int
	Reason, Domain, Type string
	Detail               string
}

func TestWhatIsNoCallOfAMethodIsSaidByHTTP(t *testing.T) {
	r := start(t, edge.Config{})
	const media, verb = edge.ReasonUnsupportedMediaType, edge.ReasonMethodNotAllowed
	for name, test := range map[string]struct {
		verb, path, media string
		code              int
		reason            string
		header, value     string
	}{
		"a picture":                   {"POST", "/Echo", "image/jpeg", 415, media, "Accept-Post", "application/json, application/proto, application/grpc, "},
		"no content type":             {"POST", "/Echo", "", 415, media, "Accept-Post", "application/json"},
		"a codec of nobody":           {"POST", "/Echo", "application/foo", 415, media, "Accept-Post", "application/json"},
		"a codec of nobody, gRPC-Web": {"POST", "/Echo", "application/grpc-web+foo", 415, media, "Accept-Post", "application/json"},
		"a codec of nobody, stream":   {"POST", "/List", "application/connect+foo", 415, media, "Accept-Post", "application/connect+json, application/connect+proto, "},
		"a stream for a unary method": {"POST", "/Echo", "application/connect+json", 415, media, "Accept-Post", "application/json"},
		"unary for a stream":          {"POST", "/List", "application/json", 415, media, "Accept-Post", "application/connect+json"},
		"a form":                      {"POST", "/Echo", "application/x-www-form-urlencoded", 415, media, "Accept-Post", "application/json"},
		"DELETE":                      {"DELETE", "/Echo", "application/proto", 405, verb, "Allow", "POST"},
		"PUT of gRPC-Web":             {"PUT", "/Echo", "application/grpc-web", 405, verb, "Allow", "POST"},
		"GET of what is not safe":     {"GET", "/Echo?connect=v1&encoding=json&message=%7B%7D", "", 405, verb, "Allow", "POST"},
		"GET by a browser":            {"GET", "/Echo", "", 405, verb, "Allow", "POST"},
		"HEAD":                        {"HEAD", "/Echo", "", 405, "", "Allow", "POST"},
		"DELETE of what is safe":      {"DELETE", "/Read", "", 405, verb, "Allow", "GET, POST"},
		"GET without a query":         {"GET", "/Read", "", 415, media, "Accept-Post", "application/json"},
		"GET with a codec of nobody":  {"GET", "/Read?connect=v1&encoding=foo&message=", "", 415, media, "Accept-Post", "application/json"},
		"both ways over HTTP/1.1":     {"POST", "/Chat", "application/connect+json", 505, edge.ReasonHTTPVersion, "", ""},
		"both ways, gRPC-Web":         {"POST", "/Chat", "application/grpc-web", 505, edge.ReasonHTTPVersion, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if test.media != "" {
				header = []string{"Content-Type", test.media}
			}
			resp, text := do(t, client(t, false), test.verb, "http://"+r.Address()+"/"+echoService+test.path, "", header...)
			if resp.StatusCode != test.code || resp.Header.Get("Content-Type") != "application/problem+json" || !strings.HasPrefix(resp.Header.Get(test.header), test.value) {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			if test.verb == http.MethodHead {
				return
			}
			var p problem
			if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != test.code || p.Reason != test.reason || p.Domain != "edge.test" || p.Detail == "" {
				t.Errorf("%v %s", err, text)
			}
		})
	}
	if n := r.counted(t, "keelson_edge_refused_total", "reason", "protocol"); n != 18 {
		t.Errorf("%v refusals were counted", n)
	}
	if n := r.counted(t, "keelson_edge_in_flight_requests"); n != 0 {
		t.Errorf("%v requests are said to be in flight", n)
	}
}

func TestWhatACallSaysOfItselfIsChecked(t *testing.T) {
	r := start(t, edge.Config{})
	const version, timeout, webTimeout = "Connect-Protocol-Version", "Connect-Timeout-Ms", "Grpc-Timeout"
	for name, test := range map[string]struct {
		media  string
		header []string
		code   codes.Code
		reason string
	}{
		"a version":                  {"application/json", []string{version, "1"}, codes.OK, ""},
		"another version":            {"application/json", []string{version, "2"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"a timeout":                  {"application/json", []string{timeout, "60000"}, codes.OK, ""},
		"a timeout of the longest":   {"application/json", []string{timeout, "9999999999"}, codes.OK, ""},
		"a timeout that is none":     {"application/json", []string{timeout, "soon"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"a timeout that is negative": {"application/json", []string{timeout, "-5"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"a timeout that is too long": {"application/json", []string{timeout, "99999999999"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"two timeouts":               {"application/json", []string{timeout, "1", timeout, "2"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"gRPC-Web's timeout":         {"application/grpc-web+json", []string{webTimeout, "60S"}, codes.OK, ""},
		"gRPC-Web's in no unit":      {"application/grpc-web+json", []string{webTimeout, "60"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"gRPC-Web's that is none":    {"application/grpc-web+json", []string{webTimeout, "1xS"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"gRPC-Web's longest":         {"application/grpc-web+json", []string{webTimeout, "99999999H"}, codes.OK, ""},
		"a compression":              {"application/json", []string{"Content-Encoding", "br"}, codes.Unimplemented, edge.ReasonEncodingUnknown},
		"a compression of gRPC-Web":  {"application/grpc-web+json", []string{"Grpc-Encoding", "br"}, codes.Unimplemented, edge.ReasonEncodingUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			body := "{}"
			if strings.Contains(test.media, "web") {
				body = frame(0, body)
			}
			resp, text := do(t, client(t, false), http.MethodPost, url(r, "/%s/Echo", echoService), body, append(test.header, "Content-Type", test.media)...)
			if test.code == codes.OK {
				if resp.StatusCode != http.StatusOK || strings.Contains(resp.Header.Get("Grpc-Status"), "3") {
					t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
				}
				return
			}
			if got := errorOf(t, resp, text); got.Code != test.code || got.Reason != test.reason || got.Domain != "edge.test" || got.Request == "" {
				t.Errorf("%d %+v", resp.StatusCode, got)
			}
		})
	}
}

func TestAQueryThatHoldsNoMessageIsTheClientsFault(t *testing.T) {
	r := start(t, edge.Config{})
	for name, test := range map[string]struct {
		query  []string
		code   codes.Code
		reason string
	}{
		"JSON":                     {[]string{"encoding", "json", "message", `{"responseSize":1}`}, codes.OK, ""},
		"base64 with padding":      {[]string{"encoding", "json", "base64", "1", "message", "e30="}, codes.OK, ""},
		"base64 without":           {[]string{"encoding", "json", "base64", "1", "message", "e30"}, codes.OK, ""},
		"the empty message":        {[]string{"encoding", "proto", "message", ""}, codes.OK, ""},
		"no base64":                {[]string{"encoding", "json", "base64", "1", "message", "!"}, codes.InvalidArgument, edge.ReasonMalformedMessage},
		"base64 of another kind":   {[]string{"encoding", "json", "base64", "yes", "message", "{}"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
		"no JSON":                  {[]string{"encoding", "json", "message", "{"}, codes.InvalidArgument, "INVALID_JSON"},
		"bytes of nobody":          {[]string{"encoding", "proto", "base64", "1", "message", "_w"}, codes.InvalidArgument, edge.ReasonMalformedMessage},
		"a compression":            {[]string{"encoding", "json", "compression", "br", "message", "{}"}, codes.Unimplemented, edge.ReasonEncodingUnknown},
		"what is not compressed":   {[]string{"encoding", "json", "compression", "gzip", "message", "{}"}, codes.InvalidArgument, edge.ReasonMalformedMessage},
		"JSON of another message ": {[]string{"encoding", "json", "message", "[]"}, codes.InvalidArgument, errs.ReasonInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			query := make([]string, 0, len(test.query)/2)
			for i := 0; i < len(test.query); i += 2 {
				query = append(query, test.query[i]+"="+neturl.QueryEscape(test.query[i+1]))
			}
			resp, text := do(t, client(t, false), http.MethodGet, url(r, "/%s/Read", echoService)+"?connect=v1&"+strings.Join(query, "&"), "")
			if test.code == codes.OK {
				if resp.StatusCode != http.StatusOK {
					t.Errorf("%d %s", resp.StatusCode, text)
				}
				return
			}
			if got := errorOf(t, resp, text); got.Code != test.code || got.Reason != test.reason {
				t.Errorf("%d %+v", resp.StatusCode, got)
			}
		})
	}
	r.noWarnings(t)
}
