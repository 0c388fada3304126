package config_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/keelson-dev/keelson/internal/config"
)

// FuzzLoad: whatever the file and the environment hold, loading gives either a
// struct whose print loads again, or faults that say where they are.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"grpc: {address: x, tls: {cert_file: a, key_file: b}}\nmethods: [{method: /x, timeout: 1s}]\nlabels: {a: b}\n",
		"a: &a [*a]\n", "labels: {? [a] : b}\n", "methods: [&m {method: x}, *m, *m]\n", "<<: {insecure: true}\n", "log: {level: }\n",
		"\xff\xfe", "---\n---\n", "%YAML 9.9\n---\nx", "hosts: !!binary aGk=\n", "insecure: true\ninsecure: true\n", "labels: {\"\\0\": \"\\u0085\"}",
	} {
		f.Add(seed, "GRPC__ADDRESS=x", "labels.a=b")
		f.Add("", "METHODS="+seed, "methods="+seed)
	}
	f.Fuzz(func(t *testing.T, file, env, set string) {
		dir := t.TempDir()
		load := func(text []byte, env, set []string) (*config.Loaded, error) {
			name := filepath.Join(dir, "c.yaml")
			rewrite(t, name, string(text))
			return config.Load(&serviceConfig{}, config.Options{File: name, Environ: env, Set: set})
		}
		ld, err := load([]byte(file), []string{"KEELSON_" + env}, []string{set})
		var faults config.Faults
		switch {
		case errors.As(err, &faults):
			for _, fault := range faults {
				if fault.Source.Kind == config.Default || fault.Source.Kind == config.File && (fault.Source.Line < 1 || fault.Source.Column < 1) || fault.Problem == "" {
					t.Errorf("a fault does not say where it is: %+v", fault)
				}
			}
			return
		case err != nil:
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := ld.Print(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := load(out.Bytes(), []string{}, nil); err != nil {
			t.Errorf("what was printed does not load: %v\n%s", err, out.Bytes())
		}
	})
}
