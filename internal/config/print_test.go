package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/internal/config"
)

func printed(t *testing.T, ld *config.Loaded) string {
	t.Helper()
	var out bytes.Buffer
	if err := ld.Print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPrintShowsEachValueAndWhereItCameFrom(t *testing.T) {
	_, ld, err := load(t, `
grpc:
  max_age: 60m
methods:
  - method: /a.B/C
    roles: [admin]
labels:
  team: "yes"
database:
  url: postgres://u:hunter2@db
`, []string{"KEELSON_DATABASE__PASSWORD=hunter2", "KEELSON_LOG__LEVEL=warn"}, "insecure=true")
	if err != nil {
		t.Fatal(err)
	}
	want := `environment: development # default
insecure: true # flag --set
grpc:
  address: :8443 # default
  max_message: 4MiB # default
  max_age: 1h # FILE:3
  tls: null # default
log:
  level: WARN # env KEELSON_LOG__LEVEL
  format: auto # default
  sample: 1 # default
methods: # FILE:5
  - method: /a.B/C # FILE:5
    timeout: 10s # default
    idle: null # default
    roles: # FILE:6
      - admin # FILE:6
labels:
  team: yes # FILE:8
database:
  url: '***' # FILE:10
  password: '***' # env KEELSON_DATABASE__PASSWORD
  pool: 8 # default
hosts: # default
  - a # default
  - b # default
`
	got := printed(t, ld)
	i := strings.Index(got, "# /")
	file, _, _ := strings.Cut(got[i+2:], ":")
	if diff := cmp.Diff(want, strings.ReplaceAll(got, file, "FILE")); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsPrintedLoadsToTheSame(t *testing.T) {
	c, ld, err := load(t, "grpc: {tls: {cert_file: 'a b', key_file: \"x\\ny # z\"}}\nmethods: [{method: '- *&'}]\nlabels: {'': '', 'a: b': ~, \"\\u2028\": \"\\t\"}\nhosts: ['null', '', '1.0', '***']\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := load(t, printed(t, ld), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed(t, ld))
	}
	if diff := cmp.Diff(c, again, cmp.AllowUnexported(serviceConfig{})); diff != "" {
		t.Error(diff)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestPrintSaysWhenItCannotWrite(t *testing.T) {
	_, ld, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ld.Print(failingWriter{}); err == nil || err.Error() != "print configuration: full" {
		t.Errorf("error %v", err)
	}
}

func TestASecretIsShownByNothingButReveal(t *testing.T) {
	s := config.Secret("hunter2")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S config.Secret }{s})
	asJSON, err := json.Marshal(map[string]any{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(s), fmt.Sprintf("%s %q %v %+v %#v %x %d", s, s, s, s, s, s, s), fmt.Sprintf("%+v", struct{ S config.Secret }{s}),
		fmt.Sprintf("%#v", []config.Secret{s}), s.String(), log.String(), string(asJSON),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "68756e74657232") || !strings.Contains(text, "***") {
			t.Errorf("shown as %s", text)
		}
	}
	if s.Reveal() != "hunter2" || config.Secret("").String() != "" {
		t.Error("Reveal does not reveal, or an empty secret looks set")
	}
}

func TestSizesAreReadAndWritten(t *testing.T) {
	for _, tt := range []struct {
		text string
		want config.Size
		out  string
	}{
		{"0", 0, "0"}, {"512", 512, "512"}, {"512B", 512, "512"}, {"1KiB", 1024, "1KiB"}, {"1536", 1536, "1536"},
		{"4 MiB", 4 << 20, "4MiB"}, {"1GiB", 1 << 30, "1GiB"}, {"2kB", 2000, "2000"}, {"1MB", 1e6, "1000000"}, {"1GB", 1e9, "1000000000"},
	} {
		var s config.Size
		if err := s.UnmarshalText([]byte(tt.text)); err != nil || s != tt.want || s.String() != tt.out {
			t.Errorf("%s: %d, %s, %v", tt.text, s, s, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5MiB", "4mib", "9999999999GiB", "MiB"} {
		if err := new(config.Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for a size", text)
		}
	}
}

func TestTheReferenceNamesEverySetting(t *testing.T) {
	fields, err := config.Reference(&serviceConfig{})
	if err != nil {
		t.Fatal(err)
	}
	byPath := map[string]config.Field{}
	for _, f := range fields {
		byPath[f.Path] = f
	}
	for _, want := range []config.Field{
		{Path: "grpc.address", Type: "text", Default: ":8443", Env: "KEELSON_GRPC__ADDRESS", Doc: "Where the service listens."},
		{Path: "grpc.tls.cert_file", Type: "text", Env: "KEELSON_GRPC__TLS__CERT_FILE"},
		{Path: "log.format", Type: "one of auto, json, pretty", Default: "auto", Env: "KEELSON_LOG__FORMAT", Reload: true},
		{Path: "methods", Type: "a list of structs", Env: "KEELSON_METHODS", Reload: true},
		{Path: "methods[].timeout", Type: "a duration such as 10s or 1m30s", Default: "10s", Reload: true},
		{Path: "labels", Type: "a mapping, each value text", Env: "KEELSON_LABELS"},
		{Path: "database.password", Type: "text", Env: "KEELSON_DATABASE__PASSWORD", Secret: true},
		{Path: "hosts", Type: "a list, each item text", Default: "a, b", Env: "KEELSON_HOSTS"},
	} {
		if diff := cmp.Diff(want, byPath[want.Path]); diff != "" {
			t.Error(diff)
		}
	}
	doc := config.Markdown(fields)
	if want := "| `grpc.address` | text | `:8443` | `KEELSON_GRPC__ADDRESS` |  | Where the service listens. |\n"; !strings.Contains(doc, want) {
		t.Errorf("the table lacks %s\n%s", want, doc)
	}
}
