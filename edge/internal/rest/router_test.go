package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/edge/internal/rest"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"
)

func TestPathsReachTheirMethods(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		verb, path, procedure string
		known                 bool
	}{
		{"GET", "/v1/shelves/a", "GetShelf", true},
		{"HEAD", "/v1/shelves/a", "GetShelf", true},
		{"PURGE", "/v1/shelves/a", "GetShelf", true},
		{"PATCH", "/v1/shelves/a", "UpdateShelf", true},
		{"PUT", "/v1/shelves/a", "UpdateShelf", true},
		{"DELETE", "/v1/shelves/a", "DeleteShelf", true},
		{"POST", "/v1/shelves/a", "", true},
		{"POST", "/v1/shelves", "CreateShelf", true},
		{"POST", "/v1/shelves/a:merge", "MergeShelf", true},
		{"POST", "/v1/shelves/a:b:merge", "MergeShelf", true},
		{"GET", "/v1/shelves/a:merge", "", true},           // a verb's path is nothing else's
		{"GET", "/v1/shelves/a:other", "GetShelf", true},   // no verb: part of the name
		{"GET", "/v1/shelves/a%3Amerge", "GetShelf", true}, // an encoded colon is no verb's
		{"POST", "/v1/shelves/a%3Amerge", "", true},
		{"GET", "/v1/shelves:watch", "Watch", true},
		{"GET", "/v1/shelves%3Awatch", "", false},
		{"GET", "/v1/archive/x/y/z", "GetShelf", true},
		{"GET", "/v1/archive", "GetShelf", true}, // "**" is zero or more
		{"GET", "/v1/shelves/a/b", "", false},
		{"GET", "/v1/shelves/", "", false},
		{"GET", "/v1//shelves/a", "", false},
		{"GET", "/v1/shelves/a%2Fb", "GetShelf", true},
		{"GET", "/v1/%73helves/a", "GetShelf", true},
		{"GET", "/", "", false},
		{"GET", "/v2/shelves/a", "", false},
	} {
		t.Run(c.verb+" "+c.path, func(t *testing.T) {
			procedure, known := s.router.Match(httptest.NewRequest(c.verb, c.path, nil))
			if want := strings.TrimSuffix("/library.v1.Library/"+c.procedure, "/"); c.procedure != "" && procedure != want || c.procedure == "" && procedure != "" || known != c.known {
				t.Errorf("Match = %q, %v, want %q, %v", procedure, known, c.procedure, c.known)
			}
		})
	}
}

func TestLiteralsGoBeforeVariables(t *testing.T) {
	fd := parse(t, `name: "p.proto" package: "p" syntax: "proto3" dependency: "google/api/annotations.proto"
		message_type { name: "M" field { name: "a" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } field { name: "b" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
		service { name: "S"
			method { name: "Deep" input_type: ".p.M" output_type: ".p.M" options { [google.api.http] { get: "/v1/{a=**}" } } }
			method { name: "Both" input_type: ".p.M" output_type: ".p.M" options { [google.api.http] { get: "/v1/{a}/{b}" } } }
			method { name: "Second" input_type: ".p.M" output_type: ".p.M" options { [google.api.http] { get: "/v1/{a}/fixed" } } }
			method { name: "First" input_type: ".p.M" output_type: ".p.M" options { [google.api.http] { get: "/v1/fixed/{a}" } } }
			method { name: "Verb" input_type: ".p.M" output_type: ".p.M" options { [google.api.http] { get: "/v1/{a=**}:do" } } } }`)
	rt, err := rest.New(rest.Config{Services: []protoreflect.ServiceDescriptor{fd.Services().Get(0)}})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/v1/fixed/fixed": "First", "/v1/x/fixed": "Second", "/v1/x/y": "Both", "/v1/x": "Deep", "/v1/x/y/z": "Deep",
		"/v1": "Deep", "/v1/x:do": "Verb", "/v1/fixed/fixed:do": "Verb",
	} {
		if got, _ := rt.Match(httptest.NewRequest("GET", path, nil)); got != "/p.S/"+want {
			t.Errorf("%s reaches %q, want %s", path, got, want)
		}
	}
}

func TestWrongRulesAreReportedAndTheOthersServed(t *testing.T) {
	fd := parse(t, `name: "w.proto" package: "w" syntax: "proto3" dependency: "google/api/annotations.proto"
		message_type { name: "M" field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING } field { name: "many" number: 2 label: LABEL_REPEATED type: TYPE_STRING }
			field { name: "sub" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".w.M" } }
		service { name: "S"
			method { name: "Good" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/{name=a/*}" } } }
			method { name: "Same" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/a/{name}" } } }
			method { name: "NoField" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/{nane}" } } }
			method { name: "Repeated" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/{many}" } } }
			method { name: "Message" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/{sub}" } } }
			method { name: "NoVerb" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { body: "*" } } }
			method { name: "BadBody" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { post: "/v1/b" body: "nme" } } }
			method { name: "BadAnswer" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/c" response_body: "nme" } } }
			method { name: "Kind" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { custom { kind: "bad kind" path: "/v1/d" } } } }
			method { name: "Nested" input_type: ".w.M" output_type: ".w.M" options { [google.api.http] { get: "/v1/e" additional_bindings { get: "/v1/f" additional_bindings { get: "/v1/g" } } } } }
			method { name: "NoBody" input_type: ".w.M" output_type: ".w.M" client_streaming: true options { [google.api.http] { get: "/v1/h" } } } }`)
	rt, err := rest.New(rest.Config{Services: []protoreflect.ServiceDescriptor{fd.Services().Get(0)}})
	if err == nil {
		t.Fatal("a contract with wrong rules is taken")
	}
	for _, want := range []string{
		"w.S.Same: GET /v1/a/{name} is the same route as GET /v1/{name=a/*} of w.S.Good",
		`w.S.NoField: GET /v1/{nane}: variable: w.M has no field "nane"; did you mean "name"?`,
		"w.S.Repeated", "w.S.Message", "w.S.NoVerb", `w.S.BadBody: POST /v1/b: body: w.M has no field "nme"; did you mean "name"?`,
		"w.S.BadAnswer", "w.S.Kind", "w.S.Nested", "w.S.NoBody",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if got, _ := rt.Match(httptest.NewRequest("GET", "/v1/a/b", nil)); got != "/w.S/Good" {
		t.Errorf("the rule that is right is not served: %q", got)
	}
	if got := len(rt.Routes()); got != 1 {
		t.Errorf("%d routes are served, want 1", got)
	}
}

func TestTemplatesThatAreWrongSayWhere(t *testing.T) {
	for template, want := range map[string]string{
		"":              `must begin with "/"`,
		"v1":            `must begin with "/"`,
		"/":             "at byte 1: a segment is empty",
		"/v1/":          "at byte 4: a segment is empty",
		"/v1//a":        "a segment is empty",
		"/v1/**/a":      `nothing but a verb may follow "**"`,
		"/v1/{a=**}/b":  `nothing but a verb may follow "**"`,
		"/v1/a*":        "stands for a whole segment",
		"/v1/{a":        `variable "a" has no "}"`,
		"/v1/{a=b/{c}}": "has another variable in it",
		"/v1/{a}b":      "a variable is a whole segment",
		"/v1/{a}/{a}":   "is bound twice",
		"/v1/{}":        "is no field path",
		"/v1/{1a}":      "is no field path",
		"/v1/{a..b}":    "is no field path",
		"/v1/a:":        "is no verb",
		"/v1/a:b:c":     "is no verb",
		"/v1/{a=*:b}":   `variable "a" has no "}"`,
		"/v1/a}":        `a segment ends with`,
		"/v1/%zz":       "invalid URL escape",
	} {
		t.Run(template, func(t *testing.T) {
			if err := rest.CheckTemplate(template); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one with %q", err, want)
			}
		})
	}
}

func TestWhatIsNotServedIsExplained(t *testing.T) {
	s := newServer(t)
	for _, c := range []struct {
		name, verb, path string
		code             int
		reason, says     string
		header           http.Header
	}{
		{"no such path", "GET", "/v1/nothing", 404, "ROUTE_NOT_FOUND", `nothing at \"/v1/nothing\"`, nil},
		{"trailing slash", "GET", "/v1/values/", 404, "ROUTE_NOT_FOUND", `did you mean \"/v1/values\"?`, nil},
		{"doubled slash", "GET", "/v1//values", 404, "ROUTE_NOT_FOUND", `did you mean \"/v1/values\"?`, nil},
		{"another method", "POST", "/v1/shelves/a", 405, "METHOD_NOT_ALLOWED", "it is for DELETE (DeleteShelf), GET (GetShelf), HEAD, OPTIONS", http.Header{"Allow": {"DELETE, GET, HEAD, OPTIONS, PATCH, PURGE, PUT"}}},
		{"another method with a verb", "GET", "/v1/shelves/a:merge", 405, "METHOD_NOT_ALLOWED", "it is for OPTIONS, POST (MergeShelf)", http.Header{"Allow": {"OPTIONS, POST"}}},
		{"another method, encoded", "POST", "/v1/shelves/a%3Amerge", 405, "METHOD_NOT_ALLOWED", `did you mean \"/v1/shelves/a:merge\"? In a path the colon`, nil},
		{"another method, and no other path", "POST", "/v1/values/a", 404, "ROUTE_NOT_FOUND", "", nil},
		{"encoded slash", "GET", "/v1/shelves%2Fa", 404, "ROUTE_NOT_FOUND", `nothing at \"/v1/shelves%2Fa\"; did you mean \"/v1/shelves/a\"? In a path between segments a slash is not`, nil},
		{"encoded colon", "GET", "/v1/shelves%3awatch", 404, "ROUTE_NOT_FOUND", `did you mean \"/v1/shelves:watch\"?`, nil},
		{"encoded slash and colon", "POST", "/v1/shelves%2Fa%3Amerge/", 404, "ROUTE_NOT_FOUND", `did you mean \"/v1/shelves/a:merge\"?`, nil},
		{"no rule", "GET", "/library.v1.Library/Hidden", 404, "ROUTE_NOT_FOUND", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.do(c.verb, c.path, "")
			if r.StatusCode != c.code || r.reason(t) != c.reason || !strings.Contains(r.body, c.says) {
				t.Errorf("%d %s, want %d %s with %s", r.StatusCode, r.body, c.code, c.reason, c.says)
			}
			for k := range c.header {
				if r.Header.Get(k) != c.header.Get(k) {
					t.Errorf("%s: %q, want %q", k, r.Header.Get(k), c.header.Get(k))
				}
			}
			if r.Header.Get("X-Correlation-Id") == "" {
				t.Error("no correlation ID")
			}
		})
	}
	r := s.do("OPTIONS", "/v1/values", "")
	if r.StatusCode != http.StatusNoContent || r.Header.Get("Allow") != "GET, HEAD, OPTIONS, POST" {
		t.Errorf("OPTIONS: %d, Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
}

func TestTheUserServiceIsServed(t *testing.T) {
	rt, err := rest.New(rest.Config{Services: []protoreflect.ServiceDescriptor{userv1.File_user_v1_user_proto.Services().Get(0)}})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := rt.Match(httptest.NewRequest("POST", "/v1/users:import", nil)); got != userv1.UserService_ImportUsers_FullMethodName {
		t.Errorf("the import is at %q", got)
	}
	if got := len(rt.Routes()); got != 11 {
		t.Errorf("%d routes", got)
	}
}
