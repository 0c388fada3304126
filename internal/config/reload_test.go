package config_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keelson-dev/keelson/internal/config"
)

func TestReloadGivesANewStructAndSaysWhatChanged(t *testing.T) {
	name := write(t, "log: {level: info}\nmethods: [{method: /a}]\n")
	var c serviceConfig
	ld, err := config.Load(&c, config.Options{File: name, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if changed, _, err := ld.Reload(); len(changed) > 0 || err != nil {
		t.Errorf("changed %v, error %v", changed, err)
	}
	rewrite(t, name, "log: {level: debug}\nmethods: [{method: /b}]\n")
	before := c.Methods[0]
	changed, next, err := ld.Reload()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"log.level", "methods"}, changed); diff != "" {
		t.Error(diff)
	}
	if got := next.(*serviceConfig).Methods[0].Method; got != "/b" || c.Methods[0].Method != before.Method {
		t.Errorf("next has %s, the first has %s", got, c.Methods[0].Method)
	}
	if !strings.Contains(printed(t, ld), "level: DEBUG") {
		t.Error("Print does not show what is in effect")
	}
	next.(*serviceConfig).Methods[0].Method = "/mine"
	if changed, _, err := ld.Reload(); len(changed) > 0 || err != nil {
		t.Errorf("what belongs to the caller came back: changed %v, error %v", changed, err)
	}
}

func TestAReloadThatIsWrongChangesNothingAndSaysWhy(t *testing.T) {
	const good = "log: {level: info}\ngrpc: {address: a}\nhosts: [x]\n"
	for _, tt := range []struct{ name, file, want string }{
		{"another field", "log: {level: debug}\ngrpc: {address: b}\nhosts: [x]\n", "config.yaml:2:17: grpc.address: this changed and cannot change while the service runs; it needs a restart"},
		{"a field that is gone", "log: {level: debug}\ngrpc: {address: a}\n", "config.yaml:3:8: hosts: this changed (it was removed)"},
		{"a fault", "log: {level: debug, format: xml}\ngrpc: {address: a}\nhosts: [x]\n", "log.format: the value xml is not known"},
		{"no YAML", "log: {", "this is no YAML"},
		{"no file", "", "the file does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := write(t, good)
			var c serviceConfig
			ld, err := config.Load(&c, config.Options{File: name, Environ: []string{}})
			if err != nil {
				t.Fatal(err)
			}
			before := printed(t, ld)
			if tt.file == "" {
				err = os.Remove(name)
			} else {
				err = os.WriteFile(name, []byte(tt.file), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			changed, next, err := ld.Reload()
			var faults config.Faults
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if changed != nil || next != nil {
				t.Errorf("changed %v to %v", changed, next)
			}
			if diff := cmp.Diff(before, printed(t, ld)); diff != "" {
				t.Error(diff)
			}
			rewrite(t, name, good)
			if _, _, err := ld.Reload(); err != nil {
				t.Errorf("after it was put right: %v", err)
			}
		})
	}
}

func TestWhatNobodyAcceptsDoesNotTakeEffect(t *testing.T) {
	name := write(t, "methods: [{method: /a}]\n")
	ld, err := config.Load(&serviceConfig{}, config.Options{File: name, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	before := printed(t, ld)
	unknown := errors.New("there is no method /b")
	var from string
	refuse := func(next any, source func(string) config.Source) error {
		from = source("methods[0].method").String()
		if next.(*serviceConfig).Methods[0].Method == "/b" {
			return unknown
		}
		return nil
	}
	rewrite(t, name, "methods: [{method: /b}]\n")
	for range 2 {
		if changed, next, err := ld.Reload(refuse); !errors.Is(err, unknown) || changed != nil || next != nil {
			t.Errorf("changed %v to %v, error %v", changed, next, err)
		}
	}
	if diff := cmp.Diff(before, printed(t, ld)); diff != "" {
		t.Error(diff)
	}
	rewrite(t, name, "\n\nmethods: [{method: /c}]\n")
	if changed, _, err := ld.Reload(refuse); err != nil || len(changed) != 1 {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if from != name+":3" {
		t.Errorf("who is asked learns that the value comes from %q, want line 3 of the new file", from)
	}
}

// watching runs Watch until the test ends and gives a channel that hears each
// change, after Reload.
func watching(t *testing.T, ld *config.Loaded) <-chan []string {
	t.Helper()
	heard, done := make(chan []string), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- ld.Watch(ctx, func() {
			changed, _, err := ld.Reload()
			if err != nil {
				changed = []string{err.Error()}
			}
			select {
			case heard <- changed:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return heard
}

func hears(t *testing.T, heard <-chan []string, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	diff := "nothing was heard"
	for diff != "" { // a file that is half written may be noticed too
		select {
		case got := <-heard:
			diff = cmp.Diff(want, got)
		case <-ctx.Done():
			t.Fatalf("the change was not noticed: %s", diff)
		}
	}
}

func TestWatchNoticesEveryWayAFileIsReplaced(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace func(dir, text string) error
	}{
		{"written in place", func(dir, text string) error {
			return os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(text), 0o600)
		}},
		{"renamed over", func(dir, text string) error {
			tmp := filepath.Join(dir, ".config.yaml.swp")
			return errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, filepath.Join(dir, "config.yaml")))
		}},
		{"removed and made", func(dir, text string) error {
			name := filepath.Join(dir, "config.yaml")
			return errors.Join(os.Remove(name), os.WriteFile(name, []byte(text), 0o600))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := write(t, "log: {level: info}\n")
			ld, err := config.Load(&serviceConfig{}, config.Options{File: name, Environ: []string{}})
			if err != nil {
				t.Fatal(err)
			}
			heard := watching(t, ld)
			if err := tt.replace(filepath.Dir(name), "log: {level: debug}\n"); err != nil {
				t.Fatal(err)
			}
			hears(t, heard, "log.level")
		})
	}
}

func TestWatchNoticesTheLinkThatKubernetesSwaps(t *testing.T) {
	dir := t.TempDir()
	version := func(v, text string) error {
		tmp := filepath.Join(dir, "..data_tmp")
		return errors.Join(
			os.Mkdir(filepath.Join(dir, v), 0o700),
			os.WriteFile(filepath.Join(dir, v, "config.yaml"), []byte(text), 0o600),
			os.Symlink(v, tmp),
			os.Rename(tmp, filepath.Join(dir, "..data")),
		)
	}
	name := filepath.Join(dir, "config.yaml")
	if err := errors.Join(version("..1", "log: {level: info}\n"), os.Symlink("..data/config.yaml", name)); err != nil {
		t.Fatal(err)
	}
	ld, err := config.Load(&serviceConfig{}, config.Options{File: name, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	heard := watching(t, ld)
	if err := version("..2", "log: {level: debug}\n"); err != nil {
		t.Fatal(err)
	}
	hears(t, heard, "log.level")
}

func TestWatchNoticesWhatChangedBeforeItBegan(t *testing.T) {
	name := write(t, "log: {level: info}\n")
	ld, err := config.Load(&serviceConfig{}, config.Options{File: name, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	rewrite(t, name, "log: {level: debug}\n")
	hears(t, watching(t, ld), "log.level")
}

func TestWatchHearsSIGHUPAlsoWithoutAFile(t *testing.T) {
	ld, err := config.Load(&serviceConfig{}, config.Options{Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	// The signal is sent until it is heard: one that comes before Watch listens
	// is lost, and would end the process if nobody else did.
	config.AwaitHangup()
	heard := watching(t, ld)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		select {
		case changed := <-heard:
			if len(changed) > 0 {
				t.Errorf("changed %v", changed)
			}
			return
		case <-again.C:
		case <-t.Context().Done():
			t.Fatal("the signal was not heard")
		}
	}
}
