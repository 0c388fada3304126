package rest_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/keelson-dev/keelson/edge/internal/rest"
)

func TestPathOfAMessageGivesItBack(t *testing.T) {
	part := rapid.StringOfN(rapid.Rune(), 1, 8, -1).Filter(func(s string) bool {
		return utf8.ValidString(s) && !strings.Contains(s, "/") && !strings.Contains(s, "%")
	})
	rapid.Check(t, func(t *rapid.T) {
		one := rapid.StringOfN(rapid.Rune(), 1, 12, -1).Filter(utf8.ValidString).Draw(t, "one") // may have slashes and percents
		many := "shelves/" + part.Draw(t, "a") + "/books/" + part.Draw(t, "b")
		rest1 := strings.Join(rapid.SliceOfN(part, 0, 4).Draw(t, "rest"), "/")
		for template, values := range map[string][]string{
			"/v1/{one}":                                 {one},
			"/v1/{one}:verb":                            {one},
			"/v1/x/{many=shelves/*/books/*}":            {many},
			"/v1/{one}/{many=shelves/*/books/*}/a:verb": {one, many},
			"/v1/{rest=**}":                             {rest1},
			"/v1/{one}/y/{rest=**}:verb":                {one, rest1},
			"/v1/{many=shelves/*/**}":                   {many},
		} {
			path, ok := rest.Expand(template, values)
			if !ok {
				t.Fatalf("%s of %q has no path", template, values)
			}
			got, ok := rest.Capture(template, path)
			if !ok || strings.Join(got, "\x00") != strings.Join(values, "\x00") {
				t.Fatalf("%s of %q is %s, which gives back %q, %v", template, values, path, got, ok)
			}
		}
	})
}

func TestMessageAsJSONGivesItBack(t *testing.T) {
	rt := libraryRouter(t)
	md := libraryService(t).Methods().ByName("Query").Input()
	rapid.Check(t, func(t *rapid.T) {
		m := dynamicpb.NewMessage(md)
		set := func(name string, v any) { m.Set(md.Fields().ByName(protoreflect.Name(name)), protoreflect.ValueOf(v)) }
		set("a_string", rapid.String().Filter(utf8.ValidString).Draw(t, "string"))
		set("some_bytes", rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
		set("an_int64", rapid.Int64().Draw(t, "int64"))
		set("a_uint64", rapid.Uint64().Draw(t, "uint64"))
		set("a_double", rapid.Float64().Draw(t, "double"))
		set("a_float", rapid.Float32().Draw(t, "float"))
		set("genre", protoreflect.EnumNumber(rapid.Int32().Draw(t, "enum")))
		raw, err := rt.JSON(m)
		if err != nil {
			t.Fatal(err)
		}
		again, err := rt.Fill("Query", "", raw)
		if err != nil || !proto.Equal(m, again) && proto.Size(m) != proto.Size(again) {
			t.Fatalf("%s: %v", raw, err)
		}
	})
}
