package config_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/keelson-dev/keelson/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type tlsConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

func (c tlsConfig) Validate() error {
	if (c.CertFile == "") != (c.KeyFile == "") {
		return config.Fault{Path: "key_file", Problem: "a certificate needs a key and a key a certificate", Valid: "set both or neither"}
	}
	return nil
}

type grpcConfig struct {
	Address    string        `yaml:"address" default:":8443" doc:"Where the service listens."`
	MaxMessage config.Size   `yaml:"max_message" default:"4MiB" min:"1KiB" max:"64MiB"`
	MaxAge     time.Duration `yaml:"max_age" default:"30m" min:"1s"`
	TLS        *tlsConfig    `yaml:"tls"`
}

type methodConfig struct {
	Method  string         `yaml:"method"`
	Timeout time.Duration  `yaml:"timeout" default:"10s"`
	Idle    *time.Duration `yaml:"idle"`
	Roles   []string       `yaml:"roles"`
}

type chassis struct {
	Environment string `yaml:"environment" default:"development"`
	Insecure    bool   `yaml:"insecure"`
	GRPC        grpcConfig
	Log         struct {
		Level  slog.Level `yaml:"level"`
		Format string     `yaml:"format" default:"auto" enum:"auto,json,pretty"`
		Sample float64    `yaml:"sample" default:"1" min:"0" max:"1"`
	} `yaml:"log" reload:"true"`
	Methods []methodConfig    `yaml:"methods" reload:"true"`
	Labels  map[string]string `yaml:"labels"`
}

type serviceConfig struct {
	chassis  `yaml:",inline"`
	Database struct {
		URL      string        `yaml:"url" secret:"true"`
		Password config.Secret `yaml:"password"`
		Pool     uint8         `yaml:"pool" default:"8"`
	} `yaml:"database"`
	Hosts []string `yaml:"hosts" default:"a,b"`
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	rewrite(t, name, text)
	return name
}

func rewrite(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// load loads with no environment but env.
func load(t *testing.T, file string, env []string, set ...string) (serviceConfig, *config.Loaded, error) {
	t.Helper()
	var c serviceConfig
	if env == nil {
		env = []string{}
	}
	opts := config.Options{Environ: env, Set: set, Reserved: []string{"KEELSON_CONFIG"}}
	if file != "" {
		opts.File = write(t, file)
	}
	ld, err := config.Load(&c, opts)
	return c, ld, err
}

func TestDefaultsApplyWhereNothingIsSaid(t *testing.T) {
	c, _, err := load(t, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := serviceConfig{Hosts: []string{"a", "b"}}
	want.Environment = "development"
	want.GRPC = grpcConfig{Address: ":8443", MaxMessage: 4 << 20, MaxAge: 30 * time.Minute}
	want.Log.Format, want.Log.Sample = "auto", 1
	want.Database.Pool = 8
	if diff := cmp.Diff(want, c, cmp.AllowUnexported(serviceConfig{})); diff != "" {
		t.Error(diff)
	}
}

func TestTheStrongerLayerWins(t *testing.T) {
	file := "grpc:\n  address: file\n"
	env := []string{"KEELSON_GRPC__ADDRESS=env", "PATH=/bin", "KEELSON_CONFIG=x"}
	for _, tt := range []struct {
		name, code, file string
		env, set         []string
		want, source     string
	}{
		{name: "default", want: ":8443", source: "default"},
		{name: "code", code: "code", want: "code", source: "code"},
		{name: "file", code: "code", file: file, want: "file", source: "config.yaml:2"},
		{name: "environment", code: "code", file: file, env: env, want: "env", source: "env KEELSON_GRPC__ADDRESS"},
		{name: "flag", code: "code", file: file, env: env, set: []string{"grpc.address=a", "grpc.address=b=c"}, want: "b=c", source: "flag --set"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := serviceConfig{}
			c.GRPC.Address = tt.code
			opts := config.Options{Environ: append([]string{}, tt.env...), Set: tt.set, Reserved: []string{"KEELSON_CONFIG"}}
			if tt.file != "" {
				opts.File = write(t, tt.file)
			}
			ld, err := config.Load(&c, opts)
			if err != nil {
				t.Fatal(err)
			}
			if c.GRPC.Address != tt.want {
				t.Errorf("address %q, want %q", c.GRPC.Address, tt.want)
			}
			if got := ld.Source("grpc.address").String(); !strings.HasSuffix(got, tt.source) {
				t.Errorf("source %q, want %q", got, tt.source)
			}
		})
	}
}

func TestEveryTypeIsReadFromEveryLayer(t *testing.T) {
	second := time.Second
	want := serviceConfig{Hosts: []string{"x", "y"}}
	want.Environment, want.Insecure = "1.10", true
	want.GRPC = grpcConfig{Address: "", MaxMessage: 1 << 20, MaxAge: 90 * time.Second, TLS: &tlsConfig{CertFile: "c", KeyFile: "k"}}
	want.Log.Level, want.Log.Format, want.Log.Sample = slog.LevelDebug, "json", 0
	want.Methods = []methodConfig{{Method: "/a.B/C", Timeout: second, Roles: []string{"r"}}, {Method: "/a.B/D", Timeout: 10 * second, Idle: &second}}
	want.Labels = map[string]string{"team": "core", "a.b": "c"}
	want.Database.URL, want.Database.Password, want.Database.Pool = "u", "p", 255

	for _, tt := range []struct {
		name, file string
		env, set   []string
	}{
		{name: "file", file: `
environment: 1.10
insecure: true
grpc:
  address: ""
  max_message: 1MiB
  max_age: 1m30s
  tls: {cert_file: c, key_file: k}
log: {level: debug, format: json, sample: 0}
methods:
  - {method: /a.B/C, timeout: 1s, roles: [r]}
  - method: /a.B/D
    idle: 1s
labels: {team: core, a.b: c}
database: {url: u, password: p, pool: 255}
hosts: [x, y]
`},
		{name: "environment", env: []string{
			"KEELSON_ENVIRONMENT=1.10", "KEELSON_INSECURE=1", "KEELSON_GRPC__ADDRESS=", "KEELSON_GRPC__MAX_MESSAGE=1048576",
			"KEELSON_GRPC__MAX_AGE=90s", "KEELSON_GRPC__TLS__CERT_FILE=c", "KEELSON_GRPC__TLS__KEY_FILE=k",
			"KEELSON_LOG={level: debug, format: json}", "KEELSON_LOG__SAMPLE=0",
			"KEELSON_METHODS=[{method: /a.B/C, timeout: 1s, roles: [r]}, {method: /a.B/D, idle: 1s}]",
			"KEELSON_LABELS={a.b: c}", "KEELSON_LABELS__TEAM=core",
			"KEELSON_DATABASE__URL=u", "KEELSON_DATABASE__PASSWORD=p", "KEELSON_DATABASE__POOL=255", "KEELSON_HOSTS=x, y",
		}},
		{name: "flags", set: []string{
			"environment=1.10", "insecure=true", "grpc.address=", "grpc.max_message=1024KiB", "grpc.max_age=90s",
			"grpc.tls={cert_file: c, key_file: k}", "log.level=DEBUG", "log.format=json", "log.sample=0",
			"methods=[{method: /a.B/C, timeout: 1s, roles: [r]}, {method: /a.B/D, idle: 1s}]",
			"labels.team=core", "labels.a.b=c", "database.url=u", "database.password=p", "database.pool=255", "hosts=[x, y]",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := load(t, tt.file, tt.env, tt.set...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(serviceConfig{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryFaultSaysWhereAndWhatIsValid(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		env, set   []string
		want       []string // for each fault in order, what it has to say
	}{
		{name: "misspelt key", file: "grpc:\n  adress: x\n", want: []string{"config.yaml:2:3: grpc.adress: unknown key; did you mean grpc.address?"}},
		{name: "key of another place", file: "max_age: 1s\n", want: []string{"config.yaml:1:1: max_age: unknown key; did you mean grpc.max_age?"}},
		{name: "strange key", file: "zzzzzzzzzz: 1\n", want: []string{"zzzzzzzzzz: unknown key; known keys here: database, environment, grpc"}},
		{name: "duplicate key", file: "grpc: {}\nhosts: []\ngrpc: {}\n", want: []string{"config.yaml:3:1: grpc: the key is given twice, first in line 1"}},
		{name: "duration without unit", file: "grpc:\n  max_age: 10\n", want: []string{`config.yaml:2:12: grpc.max_age: "10" is wrong; want a duration such as 10s`}},
		{name: "no boolean", file: "insecure: yes\n", want: []string{`insecure: "yes" is wrong; want true or false`}},
		{name: "no size", file: "grpc: {max_message: 4 megs}\n", want: []string{`grpc.max_message: "4 megs" is no size in bytes; want a size in bytes such as 512`}},
		{name: "out of the type", file: "database: {pool: 256}\n", want: []string{"database.pool: 256 does not fit, it has 8 bits"}},
		{name: "own type", file: "log: {level: loud}\n", want: []string{`config.yaml:1:14: log.level: slog: level string "loud": unknown name; want a Level`}},
		{name: "too small", file: "grpc: {max_message: 1}\n", want: []string{"the value 1 is too small; want a size in bytes such as 512, 64KiB or 4MiB, from 1KiB to 64MiB"}},
		{name: "too large", file: "log: {sample: 2}\n", want: []string{"log.sample: the value 2 is too large; want a number, from 0 to 1"}},
		{name: "not in the enum", file: "log: {format: xml}\n", want: []string{"log.format: the value xml is not known; want one of auto, json, pretty"}},
		{name: "mapping for a value", file: "environment: {a: b}\n", want: []string{"environment: a mapping is not what belongs here; want text"}},
		{name: "value for a mapping", file: "grpc: 5\n", want: []string{"grpc: a single value is not what belongs here; want keys of address, max_message"}},
		{name: "value for a list", file: "methods: /x\n", want: []string{"methods: a single value is not what belongs here; want a list"}},
		{name: "inside a list", file: "methods:\n  - {method: /x, timeout: soon}\n  - {metod: /y}\n", want: []string{`config.yaml:2:27: methods[0].timeout: "soon"`, "config.yaml:3:6: methods[1].metod: unknown key; did you mean methods[1].method?"}},
		{name: "empty item", file: "hosts: [a, ]\nmethods: [~]\n", want: []string{"config.yaml:2:11: methods[0]: the item is empty"}},
		{name: "syntax", file: "grpc:\n  a: [\n", want: []string{"this is no YAML"}},
		{name: "second document", file: "insecure: true\n---\ninsecure: false\n", want: []string{"a second document begins here; leave one"}},
		{name: "merge key", file: "grpc: &g {address: x}\nlog: {<<: *g}\n", want: []string{"merge keys (<<) are not supported"}},
		{name: "tag", file: "environment: !vault x\n", want: []string{"environment: the tag !vault is not supported"}},
		{name: "list as a document", file: "- a\n", want: []string{"config.yaml:1:1: a list is not what belongs here"}},
		{name: "own validation", file: "grpc:\n  tls:\n    cert_file: x\n", want: []string{"config.yaml:3:5: grpc.tls.key_file: a certificate needs a key and a key a certificate; set both or neither"}},
		{name: "misspelt variable", env: []string{"KEELSON_GRPC__ADRESS=x"}, want: []string{"env KEELSON_GRPC__ADRESS: unknown variable; did you mean KEELSON_GRPC__ADDRESS?"}},
		{name: "misspelt reserved variable", env: []string{"KEELSON_CONFG=x"}, want: []string{"did you mean KEELSON_CONFIG?"}},
		{name: "variable with one underscore", env: []string{"KEELSON_GRPC_ADDRESS=x"}, want: []string{"did you mean KEELSON_GRPC__ADDRESS?"}},
		{name: "variable for an item", env: []string{"KEELSON_METHODS__0__TIMEOUT=1s"}, want: []string{"env KEELSON_METHODS__0__TIMEOUT: methods: one item of a list cannot be set by a variable; give the whole list as YAML in KEELSON_METHODS"}},
		{name: "variable below a value", env: []string{"KEELSON_INSECURE__X=1"}, want: []string{"there is nothing below insecure, which is true or false"}},
		{name: "wrong value in a variable", env: []string{"KEELSON_GRPC__MAX_AGE=soon"}, want: []string{`env KEELSON_GRPC__MAX_AGE: grpc.max_age: "soon" is wrong; want a duration`}},
		{name: "no YAML in a variable", env: []string{"KEELSON_METHODS=[{"}, want: []string{"env KEELSON_METHODS: methods: this is no YAML"}},
		{name: "empty variable", env: []string{"KEELSON_METHODS="}, want: []string{"methods: the value is empty"}},
		{name: "misspelt flag", set: []string{"grpc.adress=x"}, want: []string{"flag --set: grpc.adress: unknown key; did you mean grpc.address?"}},
		{name: "flag without value", set: []string{"insecure"}, want: []string{"flag --set: insecure: there is no = in it"}},
		{name: "flag for an item", set: []string{"hosts.0=x"}, want: []string{"give the whole list: --set hosts="}},
		{name: "all at once, in order", file: "b: 1\ngrpc: {max_age: x}\n", env: []string{"KEELSON_INSECURE=maybe"}, set: []string{"x=y"}, want: []string{"config.yaml:1:1: b", "config.yaml:2:17: grpc.max_age", "env KEELSON_INSECURE", "flag --set: x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := serviceConfig{}
			got, _, err := load(t, tt.file, tt.env, tt.set...)
			var faults config.Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error %v, want faults", err)
			}
			if diff := cmp.Diff(before, got, cmp.AllowUnexported(serviceConfig{})); diff != "" {
				t.Errorf("the struct changed: %s", diff)
			}
			if len(tt.want) > 0 && len(faults) != len(tt.want) {
				t.Fatalf("%d faults, want %d: %v", len(faults), len(tt.want), err)
			}
			for i, want := range tt.want {
				if !strings.Contains(faults[i].Error(), want) {
					t.Errorf("fault %q\ndoes not say %q", faults[i], want)
				}
				if f := faults[i]; f.Source.Kind == config.File && f.Source.Line < 1 {
					t.Errorf("fault %q has no line", f)
				}
				if !strings.Contains(err.Error(), faults[i].Error()) {
					t.Errorf("%q leaves out %q", err, faults[i])
				}
			}
		})
	}
}

func TestAFileThatIsNotThereIsAFault(t *testing.T) {
	var c serviceConfig
	_, err := config.Load(&c, config.Options{File: "/nowhere/x.yaml", Environ: []string{}})
	if err == nil || !strings.Contains(err.Error(), "/nowhere/x.yaml: the file does not exist") {
		t.Errorf("error %v", err)
	}
}

func TestWhatKubernetesAddsIsNoSetting(t *testing.T) {
	link := []string{
		"KEELSON_USER_SERVICE_HOST=10.0.0.1", "KEELSON_USER_SERVICE_PORT=443", "KEELSON_USER_SERVICE_PORT_GRPC=443",
		"KEELSON_USER_PORT=tcp://10.0.0.1:443", "KEELSON_USER_PORT_443_TCP=tcp://10.0.0.1:443", "KEELSON_USER_PORT_443_TCP_ADDR=10.0.0.1",
	}
	if _, _, err := load(t, "", link); err != nil {
		t.Error(err)
	}
	if _, _, err := load(t, "", link[3:4]); err == nil {
		t.Error("a variable that only looks like one of a Service was taken")
	}
}

func TestASecretIsInNoFault(t *testing.T) {
	type pins struct {
		Pin  int      `yaml:"pin" secret:"true" max:"9"`
		Pins []uint16 `yaml:"pins" secret:"true"`
	}
	for _, env := range []string{"KEELSON_PIN=hunter2", "KEELSON_PIN=7777", "KEELSON_PINS=hunter2,7777", "KEELSON_PINS=[hunter2]"} {
		_, err := config.Load(new(pins), config.Options{Environ: []string{env}})
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "7777") {
			t.Errorf("%s: error %v", env, err)
		}
	}
}

func TestValidateMethodsAreAskedAlsoWhenEmbedded(t *testing.T) {
	var c serviceConfig
	c.GRPC.TLS = &tlsConfig{CertFile: "x"}
	_, err := config.Load(&c, config.Options{Environ: []string{}})
	want := "configuration: grpc.tls.key_file: a certificate needs a key and a key a certificate; set both or neither"
	if err == nil || err.Error() != want {
		t.Errorf("error %v\nwant  %s", err, want)
	}
	type outer struct {
		Inner tlsConfig `yaml:",inline"`
	}
	_, err = config.Load(&outer{}, config.Options{Environ: []string{"KEELSON_KEY_FILE=k"}})
	if err == nil || !strings.Contains(err.Error(), "env KEELSON_KEY_FILE: key_file: a certificate needs") {
		t.Errorf("error %v", err)
	}
}

func TestAStructThatCannotBeConfiguredIsRefused(t *testing.T) {
	type loop struct{ Next *loop }
	for _, tt := range []struct {
		name string
		into any
		want string
	}{
		{"no pointer", serviceConfig{}, "want a pointer to a struct"},
		{"no struct", new(int), "want a pointer to a struct"},
		{"nil", (*serviceConfig)(nil), "want a pointer to a struct"},
		{"function", &struct{ F func() }{}, "field struct { F func() }.F: type func() is no configuration type"},
		{"itself", &loop{}, "contains itself"},
		{"same key", &struct {
			A int `yaml:"x_y"`
			B int `yaml:"x-y"`
		}{}, `there is a key "x_y" already`},
		{"dotted key", &struct {
			A int `yaml:"x.y"`
		}{}, `key "x.y"`},
		{"default of another type", &struct {
			A int `yaml:"a" default:"x"`
		}{}, `tag default:"x"`},
		{"range of text", &struct {
			A string `yaml:"a" min:"1"`
		}{}, `tag min:"1" does not fit`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Load(tt.into, config.Options{Environ: []string{}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAConfigurationMadeInCodeIsFilledAndChecked(t *testing.T) {
	var c serviceConfig
	c.GRPC.MaxAge = time.Millisecond
	if err := config.ApplyDefaults(&c); err != nil {
		t.Fatal(err)
	}
	if c.GRPC.Address != ":8443" || c.GRPC.MaxAge != time.Millisecond {
		t.Errorf("filled %+v", c.GRPC)
	}
	err := config.Check(&c)
	if err == nil || !strings.Contains(err.Error(), "grpc.max_age: the value 1ms is too small") {
		t.Errorf("error %v", err)
	}
}
