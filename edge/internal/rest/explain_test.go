package rest_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/keelson-dev/keelson/edge/internal/rest"
)

func TestOtherProtocolsAreToldTheSame(t *testing.T) {
	service := parse(t, foreign).Services().Get(0)
	types, holder := rest.NewTypes(service), service.Methods().ByName("Hold").Input()
	for body, want := range map[string]string{
		`{}`:                        "must is missing, and foreign.Holder cannot be without it",
		`{"must":"a","one":{}}`:     "one.must is missing, and foreign.Inner cannot be without it",
		`{"must":5}`:                "must (line 1, column 8) is 5, it must be a text",
		`{"must":"a","nobody":"b"}`: "",
		`{"must":`:                  "ends within the JSON value",
	} {
		said := ""
		if err := types.Explain([]byte(body), dynamicpb.NewMessage(holder)); err != nil {
			said = err.Message()
		}
		if want == "" && said != "" || !strings.Contains(said, want) {
			t.Errorf("%s: %q, want %q", body, said, want)
		}
	}
}
