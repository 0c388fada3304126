package up_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/up"
)

func TestReadFileReportsAllFaultsAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		want []string
	}{
		"nothing in it":   {"environment: test\n", []string{"services: there is none"}},
		"unknown key":     {"servces: []\n", []string{"keelson.yaml:1", "servces", "services"}},
		"missing fields":  {"services: [{instances: 2}]\n", []string{"services[0].name: is missing", "services[0].package: is missing"}},
		"twice the name":  {"services: [{name: a, package: ./a}, {name: a, package: ./b}]\n", []string{`services[1].name: "a" is there already`}},
		"bad name":        {"services: [{name: a/b, package: ./a}]\n", []string{"services[0].name"}},
		"too few":         {"services: [{name: a, package: ./a, instances: -1}]\n", []string{"instances"}},
		"variable of up":  {"services: [{name: a, package: ./a, env: {KEELSON_GRPC__ADDRESS: x}}]\n", []string{"KEELSON_GRPC__ADDRESS: is set by up"}},
		"bad edge":        {"services: [{name: a, package: ./a, edge: here}]\n", []string{"services[0].edge", "127.0.0.1:8080"}},
		"bad page":        {"services: [{name: a, package: ./a, open: [console]}]\n", []string{"services[0].open[0]", "/console/"}},
		"several at once": {"drain_timeout: soon\nservices: [{name: a, package: ./a, instances: 1000}]\n", []string{"drain_timeout", "instances"}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keelson.yaml")
			must(t, os.WriteFile(path, []byte(tc.file), 0o644))
			_, err := up.ReadFile(path)
			if err == nil {
				t.Fatal("got nil")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
		})
	}
}

func TestReadFileThatIsNotThereSaysWhatToDo(t *testing.T) {
	_, err := up.ReadFile(filepath.Join(t.TempDir(), "keelson.yaml"))
	if err == nil || !strings.Contains(err.Error(), "--file") {
		t.Errorf("got %v", err)
	}
}

func TestReadFileCompletesTheDefaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keelson.yaml")
	must(t, os.WriteFile(path, []byte("services: [{name: a, package: ./a}]\n"), 0o644))
	t.Setenv("KEELSON_ENVIRONMENT", "the services', not ours")
	got, err := up.ReadFile(path)
	must(t, err)
	want := &up.File{StartTimeout: time.Minute, DrainTimeout: 40 * time.Second, Services: []up.Service{{Name: "a", Package: "./a", Instances: 1}}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(up.Service{})); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironmentOfAnInstance(t *testing.T) {
	f := &up.File{Environment: "test", Env: map[string]string{"A": "file", "B": "file"}}
	s := &up.Service{Name: "a", Env: map[string]string{"B": "service"}}
	got := map[string]string{}
	for _, v := range up.EnvironmentOf(f, s, []string{"PATH=/bin", "A=shell", "KEELSON_INSTANCE_ID=shell", "KEELSON_LOG__LEVEL=debug", "KEELSON_CONFIG=x"}, "a-1", "/registry") {
		name, value, _ := strings.Cut(v, "=")
		got[name] = value
	}
	want := map[string]string{
		"PATH": "/bin", "A": "file", "B": "service", "KEELSON_LOG__LEVEL": "debug", "KEELSON_ENVIRONMENT": "test",
		"KEELSON_GRPC__ADDRESS": "127.0.0.1:0", "KEELSON_OPS__ADDRESS": "127.0.0.1:0", "KEELSON_DEBUG__ADDRESS": "127.0.0.1:0",
		"KEELSON_DISCOVERY__DRIVER": "file", "KEELSON_DISCOVERY__FILE__DIR": "/registry", "KEELSON_INSTANCE_ID": "a-1", "KEELSON_LOG__FORMAT": "json",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSettingsAreFoundInAPrintedConfiguration(t *testing.T) {
	config := map[string]any{
		"environment": "development",
		"edge":        map[string]any{"address": "127.0.0.1:8080", "cors": map[string]any{"any_origin": false}},
		"services":    []any{map[string]any{"service": "user"}},
		"methods":     map[string]any{},
	}
	for variable, want := range map[string]bool{
		"KEELSON_ENVIRONMENT": true, "KEELSON_EDGE__ADDRESS": true, "KEELSON_EDGE__CORS__ANY_ORIGIN": true,
		"KEELSON_EDGE": true, "KEELSON_SERVICES": true, "KEELSON_METHODS__GET__TIMEOUT": true,
		"KEELSON_LIMITS__RATE": false, "KEELSON_EDGE__ADRESS": false, "KEELSON_EDGE__ADDRESS__PORT": false,
	} {
		t.Run(variable, func(t *testing.T) {
			if got := up.Knows(config, variable); got != want {
				t.Errorf("known: %t, want %t", got, want)
			}
		})
	}
}

func TestTableIsAligned(t *testing.T) {
	rows := []up.Row{
		{Service: "user", Instance: "user-1", PID: 7, GRPC: "127.0.0.1:40000", Ops: "127.0.0.1:40001", State: up.Serving},
		{Service: "user", Instance: "user-10", State: up.Waiting, Restarts: 2},
	}
	want := `SERVICE  INSTANCE  PID  GRPC             OPS              STATE
user     user-1    7    127.0.0.1:40000  127.0.0.1:40001  serving
user     user-10   -    -                -                waiting (2. restart)`
	if diff := cmp.Diff(want, up.Table(rows, false)); diff != "" {
		t.Error(diff)
	}
	colored := up.Table(rows, true)
	if !strings.Contains(colored, "\x1b[32mserving\x1b[0m") || !strings.Contains(colored, "\x1b[1mSERVICE\x1b[0m") {
		t.Errorf("lacks colours: %q", colored)
	}
}

func TestLinesOfInstances(t *testing.T) {
	for name, tc := range map[string]struct {
		writes []string
		want   []string
	}{
		"plain lines stay":        {[]string{"panic: x\n", "goroutine 1\n"}, []string{"a-1   │ panic: x\n", "a-1   │ goroutine 1\n"}},
		"pieces are put together": {[]string{"pa", "nic", ": x\nmore"}, []string{"a-1   │ panic: x\n", "a-1   │ more\n"}},
		"JSON of ours is text, the name once": {
			[]string{`{"@timestamp":"2026-01-02T03:04:05.678Z","log.level":"info","message":"hello","service.name":"a","service.node.name":"a-1"}` + "\n"},
			[]string{"a-1   │ 03:04:05.678 INFO  hello\n"},
		},
		"escapes cannot steer the terminal": {[]string{"\x1b[2Jx\n"}, []string{"a-1   │ \\x1b[2Jx\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			w := up.NewLineWriter("a", "a-1", 0, 5, false, func(line []byte, _ time.Time) { got = append(got, string(line)) })
			for _, s := range tc.writes {
				if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
					t.Fatalf("Write gives %d, %v", n, err)
				}
			}
			up.Flush(w)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBackoffGrowsToItsCap(t *testing.T) {
	for n, want := range map[int]time.Duration{0: 250 * time.Millisecond, 1: 500 * time.Millisecond, 5: 8 * time.Second, 6: 10 * time.Second, 1000: 10 * time.Second} {
		for range 100 {
			if got := up.Backoff(n); got < want*8/10 || got > want*12/10 {
				t.Fatalf("backoff %d is %s, want %s give or take a fifth", n, got, want)
			}
		}
	}
}

func TestSourcesAreThoseOfTheModule(t *testing.T) {
	dirs, embeds, err := up.ParseSources(strings.NewReader(`
{"Dir": "/std"}
{"Dir": "/mod/other", "Module": {"Path": "other"}}
{"Dir": "/mod/replaced", "Module": {"Replace": {"Version": "v1"}}}
{"Dir": "/near", "Module": {"Replace": {"Path": "../near"}}}
{"Dir": "/here/a", "EmbedFiles": ["m/1.sql"], "Module": {"Main": true}}`))
	must(t, err)
	if diff := cmp.Diff([]string{"/here/a", "/near"}, dirs); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/here/a/m/1.sql"}, embeds); diff != "" {
		t.Error(diff)
	}
}
