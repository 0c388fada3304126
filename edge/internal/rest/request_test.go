package rest_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/edge/internal/rest"
)

func TestQueryParametersBecomeFields(t *testing.T) {
	s := newServer(t)
	got := s.answer("Query", "{}", nil)
	for query, want := range map[string]string{
		"":                                 `{}`,
		"a_bool=true&anInt32=-5":           `{"aBool":true,"anInt32":-5}`,
		"an_int64=9007199254740993":        `{"anInt64":"9007199254740993"}`,
		"aUint32=4294967295":               `{"aUint32":4294967295}`,
		"aUint64=18446744073709551615":     `{"aUint64":"18446744073709551615"}`,
		"aFloat=1.5&aDouble=-Infinity":     `{"aFloat":1.5,"aDouble":"-Infinity"}`,
		"aString=%C3%A9+x":                 `{"aString":"é x"}`,
		"someBytes=-_8":                    `{"someBytes":"+/8="}`,
		"someBytes=%2B%2F8%3D":             `{"someBytes":"+/8="}`,
		"someBytes=+/8=":                   `{"someBytes":"+/8="}`,
		"genre=GENRE_FACT":                 `{"genre":"GENRE_FACT"}`,
		"genre=2":                          `{"genre":"GENRE_FACT"}`,
		"genre=77":                         `{"genre":77}`,
		"genres=GENRE_FACT&genres=1":       `{"genres":["GENRE_FACT","GENRE_FICTION"]}`,
		"numbers=3&numbers=1&numbers=2":    `{"numbers":[3,1,2]}`,
		"at=2026-01-31T12:00:00.5Z":        `{"at":"2026-01-31T12:00:00.500Z"}`,
		"for=1.5s":                         `{"for":"1.500s"}`,
		"readMask=aBool,place.floorNumber": `{"readMask":"aBool,place.floorNumber"}`,
		"read_mask=a_bool":                 `{"readMask":"aBool"}`,
		"wrapped=7":                        `{"wrapped":"7"}`,
		"place.street=x&place.floorNumber=3&place.inner.street=y": `{"place":{"street":"x","floorNumber":3,"inner":{"street":"y"}}}`,
		"left=a":  `{"left":"a"}`,
		"maybe=0": `{"maybe":0}`,
	} {
		t.Run(query, func(t *testing.T) {
			if r := s.do("GET", "/v1/values?"+query, ""); r.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", r.StatusCode, r.body)
			}
			if have := text(t, got); have != want {
				t.Errorf("the service got %s, want %s", have, want)
			}
		})
	}
}

func TestWrongQueryParametersAreNamed(t *testing.T) {
	s := newServer(t)
	s.answer("Query", "{}", nil)
	for query, want := range map[string]struct{ field, says string }{
		"aBoll=true":             {"aBoll", `did you mean "aBool"?`},
		"=x":                     {"", "the query has a value without a name"},
		"place.stret=x":          {"place.stret", `did you mean "place.street"?`},
		"nothing.like.this=x":    {"nothing.like.this", "is no parameter of GET /v1/values"},
		"aBool=1":                {"a_bool", "true or false"},
		"anInt32=2147483648":     {"an_int32", "from -2147483648 to 2147483647"},
		"anInt32=1.0":            {"an_int32", "whole number"},
		"anInt64=x":              {"an_int64", "64 bits"},
		"aUint32=-1":             {"a_uint32", "from 0"},
		"aUint64=-1":             {"a_uint64", "0 or more"},
		"aFloat=1e39":            {"a_float", "within 32 bits"},
		"aDouble=inf":            {"a_double", "a number"},
		"aDouble=0x1p-2":         {"a_double", "a number"},
		"aString=%ff":            {"a_string", "UTF-8"},
		"someBytes=!":            {"some_bytes", "base64"},
		"genre=GENRE_FACTS":      {"genre", `did you mean "GENRE_FACT"?`},
		"numbers=1&numbers=x":    {"numbers[1]", "whole number"},
		"at=yesterday":           {"at", "RFC 3339"},
		"for=5":                  {"for", `seconds with an "s"`},
		"wrapped=x":              {"wrapped", "64 bits"},
		"aBool=true&aBool=true":  {"a_bool", "2 times"},
		"aBool=true&a_bool=true": {"a_bool", "give it once"},
		"left=a&right=b":         {"right", "exclude each other"},
		"place=x":                {"place", "cannot be a parameter"},
		"places=x":               {"places", "cannot be a parameter"},
		"places.street=x":        {"places.street", "is no parameter"},
		"anyJson=x":              {"any_json", "cannot be a parameter"},
		"at.seconds=5":           {"at.seconds", "one value, without fields"},
		"readMask=,":             {"read_mask", "commas"},
		strings.Repeat("place.inner.", 60) + "street=x": {"", "deep"},
	} {
		t.Run(query[:min(len(query), 40)], func(t *testing.T) {
			r := s.do("GET", "/v1/values?"+query, "")
			fields := r.fields(t)
			for field, says := range fields {
				if want.field != "" && field != want.field || !strings.Contains(says, want.says) {
					t.Errorf("%s %s", field, says)
				}
			}
			if r.StatusCode != http.StatusBadRequest || len(fields) != 1 || r.reason(t) != "INVALID_REQUEST" {
				t.Errorf("%d %s", r.StatusCode, r.body)
			}
		})
	}
	if r := s.do("GET", "/v1/values?aBoll=x&anInt32=x&genre=x", ""); len(r.fields(t)) != 3 {
		t.Errorf("not all is said at once: %s", r.body)
	}
	if r := s.do("GET", "/v1/values?a=%zz", ""); r.StatusCode != http.StatusBadRequest {
		t.Errorf("a query that does not parse: %d", r.StatusCode)
	}
	for path, field := range map[string]string{
		"/v1/shelves/a?name=shelves/b":      "name",
		"/v1/values/true/5/1/QQ?aBool=true": "a_bool",
	} {
		if r := s.do("GET", path, ""); r.StatusCode != http.StatusBadRequest || !strings.Contains(r.fields(t)[field], "bound by the path") {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
	if r := s.do("POST", "/v1/values?aBool=true", "{}"); !strings.Contains(r.fields(t)["a_bool"], "belongs into the body") {
		t.Errorf("a parameter beside the body *: %s", r.body)
	}
	if r := s.do("POST", "/v1/shelves?shelf.name=x", "{}"); !strings.Contains(r.fields(t)["shelf.name"], "belongs into the body") {
		t.Errorf("a parameter of the body: %s", r.body)
	}
}

func TestPathsBecomeFields(t *testing.T) {
	s := newServer(t)
	shelf, values := s.answer("GetShelf", "{}", nil), s.answer("Query", "{}", nil)
	for path, want := range map[string]string{
		"/v1/shelves/a":           `{"name":"shelves/a"}`,
		"/v1/shelves/a%20b%25":    `{"name":"shelves/a b%"}`,
		"/v1/shelves/a%2Fb":       `{"name":"shelves/a%2Fb"}`, // several segments: %2F stays
		"/v1/shelves/a%2fb%C3%A9": `{"name":"shelves/a%2fbé"}`,
		"/v1/shelves/a:b":         `{"name":"shelves/a:b"}`,
		"/v1/archive/a/b%2Fc":     `{"name":"a/b%2Fc"}`,
		"/v1/archive":             `{}`,
		"/v1/shelves/..":          `{"name":"shelves/.."}`,
	} {
		if r := s.do("GET", path, ""); r.StatusCode != http.StatusOK || text(t, shelf) != want {
			t.Errorf("%s: %d, the service got %s, want %s", path, r.StatusCode, text(t, shelf), want)
		}
	}
	if r := s.do("GET", "/v1/values/true/-5/GENRE_FACT/_-8", ""); r.StatusCode != 200 || text(t, values) != `{"aBool":true,"anInt64":"-5","someBytes":"/+8=","genre":"GENRE_FACT"}` {
		t.Errorf("%d %s", r.StatusCode, text(t, values))
	}
	r := s.do("GET", "/v1/values/yes/x/NO/!", "")
	if fields := r.fields(t); r.StatusCode != http.StatusBadRequest || len(fields) != 4 || fields["an_int64"] == "" {
		t.Errorf("wrong values in the path: %d %s", r.StatusCode, r.body)
	}
	if r := s.do("GET", "/v1/shelves/%ff", ""); r.StatusCode != http.StatusBadRequest || !strings.Contains(r.fields(t)["name"], "UTF-8") {
		t.Errorf("a name that is no UTF-8: %d %s", r.StatusCode, r.body)
	}
}

func TestJSONThatDoesNotFitIsExplained(t *testing.T) {
	s := newServer(t)
	s.answer("CreateShelf", "{}", nil)
	s.answer("Query", "{}", nil)
	for _, c := range []struct{ name, path, body, reason, field, says string }{
		{"no JSON", "/v1/shelves", "{\n  \"name\": \"a\",\n  oops\n}", "INVALID_JSON", "shelf", "line 3, column 3"},
		{"cut off", "/v1/shelves", `{"name":`, "INVALID_JSON", "shelf", "line 1, column 9: ends within"},
		{"two values", "/v1/shelves", `{} {}`, "INVALID_JSON", "shelf", "has more after"},
		{"no UTF-8", "/v1/shelves", "{\"name\":\"\xff\"}", "INVALID_JSON", "shelf", "column 10: is not valid UTF-8"},
		{"unknown field", "/v1/shelves", `{"displayNam":"x"}`, "INVALID_REQUEST", "shelf.displayNam", `did you mean "displayName"?`},
		{"unknown nested", "/v1/shelves", `{"place":{"inner":{"stret":1}}}`, "INVALID_REQUEST", "shelf.place.inner.stret", `did you mean "street"?`},
		{"unknown in a list", "/v1/shelves", `{"places":[{},{"x":1}]}`, "INVALID_REQUEST", "shelf.places[1].x", "is no field"},
		{"wrong type", "/v1/shelves", "{\"name\":\n5}", "INVALID_REQUEST", "shelf.name", "it must be a text"},
		{"wrong number", "/v1/values", `{"anInt32":1.5}`, "INVALID_REQUEST", "an_int32", "whole number"},
		{"wrong enum", "/v1/values", `{"genre":"GENRE_FACTS"}`, "INVALID_REQUEST", "genre", `(line 1, column 9) is "GENRE_FACTS", it must be one of GENRE_UNSPECIFIED, GENRE_FICTION, GENRE_FACT, or a number; did you mean "GENRE_FACT"?`},
		{"wrong enum in a list", "/v1/values", `{"genres":[1,"X"]}`, "INVALID_REQUEST", "genres[1]", `is "X", it must be one of GENRE_UNSPECIFIED`},
		{"wrong element", "/v1/values", `{"numbers":[1,"x"]}`, "INVALID_REQUEST", "numbers[1]", "whole number"},
		{"no list", "/v1/values", `{"places":{}}`, "INVALID_REQUEST", "places", "must be a list"},
		{"no object", "/v1/values", `{"place":5}`, "INVALID_REQUEST", "place", "must be an object"},
		{"no object at all", "/v1/values", `[]`, "INVALID_REQUEST", "", "must be an object"},
		{"wrong time", "/v1/values", `{"at":"x"}`, "INVALID_REQUEST", "at", "RFC 3339"},
		{"wrong map", "/v1/shelves", `{"labels":{"a":5}}`, "INVALID_REQUEST", `shelf.labels["a"]`, "is 5, it must be a text"},
		{"twice", "/v1/values", `{"aBool":true,"a_bool":true}`, "INVALID_REQUEST", "a_bool", "given twice"},
		{"both of a oneof", "/v1/values", `{"left":"a","right":"b"}`, "INVALID_REQUEST", "right", `(line 1, column 20) and "left" exclude each other, both are of side`},
		{"too deep", "/v1/values", strings.Repeat(`{"place":`, 1) + strings.Repeat(`{"inner":`, 200) + "{}" + strings.Repeat("}", 201), "INVALID_REQUEST", "", "deep"},
		{"wrong body field", "/v1/names", "\n[\"a\",\n5]", "INVALID_REQUEST", "names[1]", "a text"},
		{"no list as the body", "/v1/names", `{}`, "INVALID_REQUEST", "names", "(line 1, column 1) is {}, it must be a list, each a text"},
		{"body field no JSON", "/v1/names", `["a"],"next":"b"`, "INVALID_JSON", "names", "has more after"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.do("POST", c.path, c.body)
			fields := r.fields(t)
			says, named := fields[c.field]
			if c.name == "too deep" {
				for _, says = range fields {
					named = true
				}
			}
			if r.StatusCode != http.StatusBadRequest || r.reason(t) != c.reason || !named || !strings.Contains(says, c.says) || len(fields) != 1 {
				t.Errorf("%d %s, want %s at %q: %s", r.StatusCode, r.body, c.reason, c.field, c.says)
			}
		})
	}
}

func TestBodiesBecomeFields(t *testing.T) {
	s := newServer(t)
	create, update, names := s.answer("CreateShelf", "{}", nil), s.answer("UpdateShelf", "{}", nil), s.answer("ListNames", "{}", nil)
	if r := s.do("POST", "/v1/shelves?shelfId=x&validate_only=true", `{"display_name":"n","count":"5","limit":3,"labels":{"a":"b"}}`); r.StatusCode != 200 ||
		text(t, create) != `{"shelf":{"displayName":"n","labels":{"a":"b"},"limit":3,"count":"5"},"shelfId":"x","validateOnly":true}` {
		t.Errorf("%d %s %s", r.StatusCode, r.body, text(t, create))
	}
	if s.do("POST", "/v1/names?next=x", `["b","a"]`); text(t, names) != `{"names":["b","a"],"next":"x"}` {
		t.Errorf("a list as the body: %s", text(t, names))
	}
	if s.do("PUT", "/v1/shelves/a", `{"shelf":{"tags":["x"]},"updateMask":"tags"}`); text(t, update) != `{"shelf":{"name":"shelves/a","tags":["x"]},"updateMask":"tags"}` {
		t.Errorf("the body *: %s", text(t, update))
	}
	if r := s.do("POST", "/v1/shelves", ""); r.StatusCode != http.StatusCreated || text(t, create) != `{}` && text(t, create) != `{"shelf":{}}` {
		t.Errorf("no body: %d %s", r.StatusCode, text(t, create))
	}
	if r := s.do("PATCH", "/v1/shelves/a", `{"name":"shelves/b"}`); r.StatusCode != http.StatusBadRequest || r.fields(t)["shelf.name"] == "" {
		t.Errorf("two names: %d %s", r.StatusCode, r.body)
	}
	if r := s.do("DELETE", "/v1/shelves/a", "{}"); r.StatusCode != http.StatusBadRequest || !strings.Contains(r.body, "takes no body") {
		t.Errorf("a body that would be lost: %d %s", r.StatusCode, r.body)
	}
}

func TestMaskIsMadeOfTheFieldsThatAreThere(t *testing.T) {
	s := newServer(t)
	got := s.answer("UpdateShelf", "{}", nil)
	for body, want := range map[string]string{
		`{"displayName":"x"}`:                                   "displayName",
		`{"display_name":null}`:                                 "displayName",
		`{"displayName":"","count":"0","tags":[]}`:              "count,displayName,tags",
		`{"place":{"street":"x","inner":{"floorNumber":null}}}`: "place.inner.floorNumber,place.street",
		`{"place":null}`:                                        "place",
		`{"place":{}}`:                                          "place",
		`{"labels":{"a":"b"}}`:                                  "labels",
		`{"labels":{}}`:                                         "labels",
		`{"limit":null,"places":[{"street":"a"}]}`:              "limit,places",
		`{"name":"shelves/a","etag":"x","updateTime":"2026-01-01T00:00:00Z","tags":["x"]}`: "tags",
		`{"name":"shelves/a"}`: "",
		`{}`:                   "",
	} {
		t.Run(body, func(t *testing.T) {
			r := s.do("PATCH", "/v1/shelves/a", body)
			fd := got.Descriptor().Fields().ByName("update_mask")
			have := ""
			if got.Has(fd) {
				have = strings.Trim(text(t, got.Get(fd).Message().Interface()), `"`)
			}
			if r.StatusCode != http.StatusOK || have != want {
				t.Errorf("%d %s: the mask is %q, want %q", r.StatusCode, r.body, have, want)
			}
		})
	}
	for query, want := range map[string]string{
		"updateMask=displayName": "display_name", "update_mask=display_name,labels.myKey,place.floorNumber": "display_name,labels.myKey,place.floor_number",
		"updateMask=*": "*", "updateMask=notThere": "not_there",
	} {
		s.do("PATCH", "/v1/shelves/a?"+query, `{"count":"1"}`)
		mask := got.Get(got.Descriptor().Fields().ByName("update_mask")).Message()
		paths := mask.Get(mask.Descriptor().Fields().ByName("paths")).List()
		var have []string
		for i := range paths.Len() {
			have = append(have, paths.Get(i).String())
		}
		if strings.Join(have, ",") != want {
			t.Errorf("%s: the mask is %s, want %s", query, have, want)
		}
	}
}

func TestContentOfRequestsIsChecked(t *testing.T) {
	s := newServer(t, func(c *rest.Config) { c.MaxRequest = 1000 })
	got := s.answer("CreateShelf", "{}", nil)
	var zip, bomb bytes.Buffer
	for b, content := range map[*bytes.Buffer]string{&zip: `{"displayName":"zipped"}`, &bomb: `"` + strings.Repeat("a", 1<<20) + `"`} {
		w := gzip.NewWriter(b)
		_, _ = w.Write([]byte(content))
		_ = w.Close()
	}
	for _, c := range []struct {
		name, body string
		headers    []string
		code       int
		says       string
	}{
		{"charset", `{}`, []string{"Content-Type", "application/json; charset=UTF-8"}, 201, ""},
		{"another charset", `{}`, []string{"Content-Type", "application/json; charset=latin1"}, 415, "UTF-8"},
		{"suffix", `{}`, []string{"Content-Type", "application/merge-patch+json"}, 201, ""},
		{"a form", `a=b`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "set it to application/json"},
		{"no type", `{}`, []string{"Content-Type", ""}, 201, ""},
		{"garbled type", `{}`, []string{"Content-Type", "/;"}, 415, "does not parse"},
		{"gzip", zip.String(), []string{"Content-Encoding", "gzip"}, 201, ""},
		{"no gzip", "{}", []string{"Content-Encoding", "gzip"}, 400, "is no gzip"},
		{"cut gzip", zip.String()[:20], []string{"Content-Encoding", "gzip"}, 400, "is no gzip"},
		{"a bomb", bomb.String(), []string{"Content-Encoding", "gzip"}, 413, "1000 bytes"},
		{"brotli", "{}", []string{"Content-Encoding", "br"}, 415, "gzip"},
		{"too large", `"` + strings.Repeat("a", 1000) + `"`, nil, 413, "1000 bytes"},
		{"accept text", "{}", []string{"Accept", "text/html"}, 406, "take application/json"},
		{"accept none", "{}", []string{"Accept", "application/json;q=0"}, 406, "take application/json"},
		{"accept a wildcard", "{}", []string{"Accept", "text/html, application/*;q=0.5"}, 201, ""},
		{"accept problems", "{}", []string{"Accept", "application/problem+json"}, 201, ""},
		{"timeout", "{}", []string{"X-Server-Timeout", "-1"}, 400, "seconds"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.do("POST", "/v1/shelves", c.body, c.headers...)
			if r.StatusCode != c.code || !strings.Contains(r.body, c.says) {
				t.Errorf("%d %s, want %d with %s", r.StatusCode, r.body, c.code, c.says)
			}
			if c.name == "gzip" && text(t, got) != `{"shelf":{"displayName":"zipped"}}` {
				t.Errorf("the service got %s", text(t, got))
			}
		})
	}
	chunked := s.request("POST", "/v1/shelves", `"`+strings.Repeat("a", 1000)+`"`)
	chunked.ContentLength = -1
	if r := s.read(chunked); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a body of unknown length: %d", r.StatusCode)
	}
}

func TestAnEmptyBodyIsOfEveryType(t *testing.T) {
	s := newServer(t)
	s.answer("CreateShelf", "{}", nil)
	if r := s.do("POST", "/v1/shelves", "", "Content-Type", "application/x-www-form-urlencoded"); r.StatusCode >= 300 {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if r := s.do("POST", "/v1/shelves", "a=b", "Content-Type", "application/x-www-form-urlencoded"); r.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}
