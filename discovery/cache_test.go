package discovery_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/connectivity"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/target"
)

// cacheRig is a resolver with a cache, as one process has it.
type cacheRig struct {
	rig
	logs *bytes.Buffer
}

// process runs a test as a process of its own on a directory.
func process(t *testing.T, dir string, test func(r *cacheRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &cacheRig{logs: &bytes.Buffer{}}
		r.rig = rig{t: t, driver: newScripted(), targets: target.NewRegistry(), reg: prometheus.NewRegistry()}
		r.builder = discovery.NewResolver(r.driver, discovery.Config{CacheDir: dir}, discovery.WithTargets(r.targets),
			discovery.WithRegisterer(r.reg), discovery.WithLogger(slog.New(slog.NewTextHandler(r.logs, nil))))
		conn, res := build(t, r.builder, dialled)
		r.conn, r.close = conn, res.Close
		test(r)
		r.close()
	})
}

// cachedFile is the one file of the directory.
func cachedFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%d files in the cache, %v; want 1", len(files), err)
	}
	return filepath.Join(dir, files[0].Name())
}

func TestAProcessStartsWithTheListOfTheLastOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	process(t, dir, func(r *cacheRig) {
		r.answer("a", "b")
		r.pass(2 * time.Second)
	})
	for _, path := range []string{dir, cachedFile(t, dir)} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %s, %v; others may look into it", path, info.Mode(), err)
		}
	}
	tests := map[string]func(r *cacheRig){
		"the registry fails":                func(r *cacheRig) { r.fail(errors.New("away")) },
		"the registry says nothing":         func(r *cacheRig) { r.pass(time.Second) },
		"the registry has forgotten it all": func(r *cacheRig) { r.answer() },
	}
	for name, begin := range tests {
		t.Run(name, func(t *testing.T) {
			process(t, dir, func(r *cacheRig) {
				begin(r)
				if got := r.conn.ids(); got != "ab" {
					t.Errorf("instances in effect: %q, want ab; %s", got, r.logs)
				}
				if !strings.Contains(r.logs.String(), "decision=cached") {
					t.Errorf("log: %s", r.logs)
				}
				r.answer("b", "c")
				if got := r.conn.ids(); !strings.Contains(got, "bc") {
					t.Errorf("instances after an answer: %q, want b and c", got)
				}
			})
			process(t, dir, func(r *cacheRig) { r.answer("a", "b") }) // for the next row
		})
	}
}

func TestARegistryThatAnswersAtOnceIsBelieved(t *testing.T) {
	dir := t.TempDir()
	process(t, dir, func(r *cacheRig) { r.answer("a", "b") })
	process(t, dir, func(r *cacheRig) {
		r.answer("c")
		r.pass(time.Minute)
		r.want("c", "accepted")
	})
}

func TestInstancesOfACopyThatServeOutliveARegistryThatKnowsFew(t *testing.T) {
	dir := t.TempDir()
	process(t, dir, func(r *cacheRig) { r.answer("a", "b", "c", "d") })
	process(t, dir, func(r *cacheRig) {
		r.fail(errors.New("away"))
		r.connect(connectivity.Ready, target.HealthServing, "a", "b", "c")
		r.connect(connectivity.TransientFailure, target.HealthUnknown, "d")
		r.answer("a") // it has restarted empty, and a was quick
		r.pass(time.Minute)
		r.want("abc", "held")
	})
}

func TestACopyIsAsOldAsTheLastListOfTheRegistry(t *testing.T) {
	dir := t.TempDir()
	process(t, dir, func(r *cacheRig) { r.answer("a") })
	before, err := os.ReadFile(cachedFile(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	process(t, dir, func(r *cacheRig) {
		r.pass(time.Minute)
		r.want("a", "cached")
		r.answer()
		r.want("a", "held")
		r.pass(time.Minute)
	})
	after, err := os.ReadFile(cachedFile(t, dir))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the copy was written anew, %v: %s, %s before", err, after, before)
	}
}

func TestCopiesThatAreNoneAreNotUsed(t *testing.T) {
	edit := func(old, with string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.ReplaceAll(string(b), old, with)
			if err := os.WriteFile(path, []byte(changed), 0o600); err != nil || changed == string(b) {
				t.Fatalf("nothing was changed: %v", err)
			}
		}
	}
	write := func(content string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(of func(string) string, mode os.FileMode) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			if err := os.Chmod(of(path), mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tt := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  string
	}{
		"empty":                    {write(""), "no copy of a list"},
		"cut short":                {write(`{"version":1,"target":`), "no copy of a list"},
		"changed":                  {edit("10.0.0.1", "10.6.6.6"), "checksum"},
		"of another version":       {edit(`"version":1`, `"version":2`), "version 2"},
		"of another target":        {edit(`test:///user`, `test:///audit`), "test:///audit"},
		"of another registry":      {edit(`test registry`, `other registry`), "other registry"},
		"writable by others":       {mode(func(p string) string { return p }, 0o666), "others may write"},
		"in a directory of others": {mode(filepath.Dir, 0o777), "others may write"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			process(t, dir, func(r *cacheRig) { r.answer("a", "b") })
			tt.spoil(t, cachedFile(t, dir))
			process(t, dir, func(r *cacheRig) {
				r.fail(errors.New("away"))
				if got := r.conn.ids(); got != "" {
					t.Errorf("instances in effect: %q", got)
				}
				if !strings.Contains(r.logs.String(), tt.want) {
					t.Errorf("log: %s, want %q in it", r.logs, tt.want)
				}
			})
		})
	}
}

func TestCopiesOfTargetsDoNotMeet(t *testing.T) {
	dir := t.TempDir()
	process(t, dir, func(r *cacheRig) {
		other, res := build(t, r.builder, dialled+"?tag=x")
		defer res.Close()
		for r.conn.ids() == "" || other.ids() == "" { // either watch may take an answer
			r.answer("a")
		}
	})
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%d files, %v; want 2", len(files), err)
	}
}

func TestAnEmptyListIsNeverWritten(t *testing.T) {
	dir := t.TempDir()
	process(t, dir, func(r *cacheRig) {
		r.answer()
		r.pass(time.Minute)
	})
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files, %v; want none", len(files), err)
	}
}

func TestACacheThatCannotBeWrittenIsNoReasonToStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	process(t, path, func(r *cacheRig) {
		r.answer("a")
		r.pass(2 * time.Second)
		r.want("a", "accepted")
		if !strings.Contains(r.logs.String(), "copy of the list not written") {
			t.Errorf("log: %s", r.logs)
		}
	})
}

func TestACopyThatAnotherUserOwnsIsNotUsed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only the superuser can give a file away")
	}
	for name, of := range map[string]func(string) string{"file": filepath.Clean, "directory": filepath.Dir} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			process(t, dir, func(r *cacheRig) { r.answer("a", "b") })
			if err := os.Chown(of(cachedFile(t, dir)), 65534, -1); err != nil {
				t.Fatal(err)
			}
			process(t, dir, func(r *cacheRig) {
				r.fail(errors.New("away"))
				if got := r.conn.ids(); got != "" || !strings.Contains(r.logs.String(), "belongs to another user") {
					t.Errorf("instances in effect: %q; log: %s", got, r.logs)
				}
			})
		})
	}
}

func TestACopyThatCannotBeReplacedIsToldOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	process(t, dir, func(r *cacheRig) { r.answer("a") })
	path := cachedFile(t, dir)
	if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "full"), 0o700)); err != nil {
		t.Fatal(err)
	}
	process(t, dir, func(r *cacheRig) {
		for _, names := range [][]string{{"a"}, {"a", "b"}, {"a", "b", "c"}} {
			r.answer(names...)
			r.pass(10 * time.Second)
		}
		if n := strings.Count(r.logs.String(), "copy of the list not written"); n != 1 {
			t.Errorf("told %d times: %s", n, r.logs)
		}
	})
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%d files are left, %v; want 1", len(files), err)
	}
}
