package rest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
)

// foreign is a contract of a kind that this platform's own are not: proto2.
const foreign = `
name: "foreign/one.proto" package: "foreign" syntax: "proto2" dependency: ["google/api/annotations.proto", "google/protobuf/struct.proto", "google/protobuf/any.proto",
  "google/protobuf/duration.proto", "google/protobuf/wrappers.proto", "google/protobuf/field_mask.proto"]
enum_type { name: "Kind" value { name: "ONE" number: 1 } value { name: "TWO" number: 2 } }
message_type { name: "Inner"
  field { name: "must" number: 1 label: LABEL_REQUIRED type: TYPE_INT32 }
  field { name: "text" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "deeper" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".foreign.Inner" } }
message_type { name: "Free"
  field { name: "text" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "number" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 }
  field { name: "kind" number: 3 label: LABEL_OPTIONAL type: TYPE_ENUM type_name: ".foreign.Kind" }
  field { name: "deeper" number: 4 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".foreign.Free" }
  field { name: "value" number: 5 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Value" }
  field { name: "any" number: 6 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".google.protobuf.Any" }
  field { name: "list" number: 7 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".foreign.Free" }
  field { name: "map" number: 8 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".foreign.Free.MapEntry" }
  field { name: "flags" number: 9 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".foreign.Free.FlagsEntry" }
  field { name: "kinds" number: 10 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".foreign.Free.KindsEntry" }
  nested_type { name: "MapEntry" options { map_entry: true } field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_INT64 }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".foreign.Free" } }
  nested_type { name: "FlagsEntry" options { map_entry: true } field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_BOOL }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_STRING } }
  nested_type { name: "KindsEntry" options { map_entry: true } field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_INT32 } }
  extension_range { start: 100 end: 200 } }
message_type { name: "Holder"
  field { name: "must" number: 1 label: LABEL_REQUIRED type: TYPE_STRING }
  field { name: "one" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".foreign.Inner" }
  field { name: "many" number: 3 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".foreign.Inner" }
  field { name: "named" number: 4 label: LABEL_REPEATED type: TYPE_MESSAGE type_name: ".foreign.Holder.NamedEntry" }
  nested_type { name: "NamedEntry" options { map_entry: true } field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE type_name: ".foreign.Inner" } } }
extension { name: "more" extendee: ".foreign.Free" number: 100 label: LABEL_OPTIONAL type: TYPE_STRING }
service { name: "S"
  method { name: "Hold" input_type: ".foreign.Holder" output_type: ".foreign.Holder"
    options { [google.api.http] { post: "/hold" body: "*" additional_bindings { get: "/hold/{must}" } additional_bindings { post: "/one/{must}" body: "one" } } } }
  method { name: "HoldAll" input_type: ".foreign.Holder" output_type: ".foreign.Holder" client_streaming: true server_streaming: true
    options { [google.api.http] { post: "/hold/all" body: "*" } } }
  method { name: "Free" input_type: ".foreign.Free" output_type: ".foreign.Free"
    options { [google.api.http] { post: "/free" body: "*" additional_bindings { post: "/list" body: "list" response_body: "list" }
      additional_bindings { post: "/map" body: "map" response_body: "map" } } } }
  method { name: "Wait" input_type: ".google.protobuf.Duration" output_type: ".google.protobuf.Duration" options { [google.api.http] { post: "/wait" body: "*" } } }
  method { name: "Mask" input_type: ".google.protobuf.FieldMask" output_type: ".google.protobuf.FieldMask" options { [google.api.http] { post: "/mask" body: "*" } } }
  method { name: "Number" input_type: ".google.protobuf.DoubleValue" output_type: ".google.protobuf.DoubleValue" options { [google.api.http] { post: "/number" body: "*" } } }
  method { name: "Struct" input_type: ".google.protobuf.Struct" output_type: ".google.protobuf.Struct" options { [google.api.http] { post: "/struct" body: "*" } } } }
`

// echoing serves a contract by a service that sends back what it gets, as bare
// grpc-go does: a request that lacks a field that must be there is INTERNAL.
func echoing(t testing.TB, contract string) *server {
	t.Helper()
	s := &server{t: t, service: parse(t, contract).Services().Get(0)}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		full, _ := grpc.MethodFromServerStream(ss)
		method := s.service.Methods().ByName(protoreflect.Name(full[strings.LastIndexByte(full, '/')+1:]))
		m := dynamicpb.NewMessage(method.Input())
		if err := ss.RecvMsg(m); err != nil {
			return err
		}
		return ss.SendMsg(m)
	}))
	router, err := rest.New(rest.Config{Services: []protoreflect.ServiceDescriptor{s.service}, Handler: g})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(router)
	s.url = front.URL
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		front.Close()
		g.Stop()
	})
	return s
}

func TestARequestWithoutARequiredFieldIsTheCallersFault(t *testing.T) {
	s := echoing(t, foreign)
	for _, c := range []struct{ name, method, path, body, field string }{
		{"in the body", "POST", "/hold", `{}`, "must"},
		{"no body at all", "POST", "/hold", ``, "must"},
		{"within a message", "POST", "/hold", `{"must":"a","one":{"deeper":{"must":1}}}`, "one.must"},
		{"deeper", "POST", "/hold", `{"must":"a","one":{"must":1,"deeper":{}}}`, "one.deeper.must"},
		{"within a list", "POST", "/hold", `{"must":"a","many":[{"must":1},{}]}`, "many[1].must"},
		{"within a map", "POST", "/hold", `{"must":"a","named":{"x y":{}}}`, `named["x y"].must`},
		{"of a query", "GET", "/hold/a?one.text=b", ``, "one.must"},
		{"of a body that is a field", "POST", "/one/a", `{"text":"b"}`, "one.must"},
		{"of a line", "POST", "/hold/all", `{"one":{"must":1}}`, "must"},
	} {
		t.Run(c.name, func(t *testing.T) {
			headers := []string{}
			if c.path == "/hold/all" {
				headers = []string{"Content-Type", "application/x-ndjson"}
			}
			r := s.do(c.method, c.path, c.body, headers...)
			if says := r.fields(t)[c.field]; r.StatusCode != http.StatusBadRequest || !strings.Contains(says, "is missing, and foreign.") {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
	for path, body := range map[string]string{"/hold": `{"must":"","many":[{"must":0}]}`, "/one/a": `{"must":2}`} {
		if r := s.do("POST", path, body); r.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
}

func TestExtensionsPassBothWays(t *testing.T) {
	s := echoing(t, foreign)
	const body = `{"text":"a","[foreign.more]":"b"}`
	if r := s.do("POST", "/free", body); r.body != body {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestAnAnswerThatIsAFieldIsWrittenAsWithinItsMessage(t *testing.T) {
	s := echoing(t, foreign)
	for path, body := range map[string]string{"/list": `[{"number":1},{}]`, "/map": `{"1":{"deeper":{}}}`} {
		if r := s.do("POST", path, body); r.body != body {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
	for path, want := range map[string]string{"/list": `[]`, "/map": `{}`} {
		if r := s.do("POST", path, ""); r.body != want {
			t.Errorf("%s with nothing in it: %d %s", path, r.StatusCode, r.body)
		}
	}
}

func TestJSONOfEveryTypeIsExplained(t *testing.T) {
	s := echoing(t, foreign)
	for _, c := range []struct{ path, body, field, says string }{
		{"/wait", `""`, "", `(line 1, column 1) is "", it must be seconds with an "s"`},
		{"/wait", ` {}`, "", `(line 1, column 2) is {}, it must be seconds with an "s"`},
		{"/wait", `null`, "", `is null, it must be seconds`},
		{"/mask", `{"paths":["a"]}`, "", "it must be field paths with commas between them"},
		{"/number", `1e400`, "", "is 1e400, it must be a number"},
		{"/struct", `[]`, "", "is [], it must be an object"},
		{"/free", `null`, "", "is null, it must be an object with the fields of foreign.Free"},
		{"/free", `{"value":1e400}`, "value", "it must be any JSON"},
		{"/free", `{"any":{"@type":"x/y.Z"}}`, "any", `"@type", the name of a type that is known here`},
		{"/free", `{"text":"\ud800"}`, "text", `it must be a text without half characters`},
		{"/free", `{"list":[null]}`, "list[0]", "must be an object with the fields of foreign.Free"},
		{"/list", "[{},\nnull]", "list[1]", "(line 2, column 5) must be an object"},
		{"/free", `{"map":{"x":{}}}`, `map["x"]`, `has a name that is "x", it must be a whole number of 64 bits`},
		{"/free", `{"map":{"1":{"number":"x"}}}`, `map["1"].number`, "a whole number"},
		{"/free", `{"map":{"1":null}}`, `map["1"]`, "must be an object with the fields of foreign.Free"},
		{"/free", `{"map":[]}`, "map", "must be an object"},
		{"/free", `{"map":{"1":{},"1":{}}}`, `map["1"]`, "is given twice"},
		{"/free", `{"flags":{"TRUE":"a"}}`, `flags["TRUE"]`, `has a name that is "TRUE", it must be true or false`},
		{"/free", `{"flags":{"true":null}}`, `flags["true"]`, "is null, it must be a text"},
		{"/free", `{"kinds":{"a":1.5}}`, `kinds["a"]`, "is 1.5, it must be a whole number"},
	} {
		t.Run(c.path+c.body, func(t *testing.T) {
			r := s.do("POST", c.path, c.body)
			if says, named := r.fields(t)[c.field]; r.StatusCode != http.StatusBadRequest || !named || !strings.Contains(says, c.says) {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
}

func TestAByteOrderMarkIsIgnored(t *testing.T) {
	s := echoing(t, foreign)
	if r := s.do("POST", "/free", "\xEF\xBB\xBF"+`{"text":"a"}`); r.body != `{"text":"a"}` {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}
