package workspace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRegistryIsFoundAbove(t *testing.T) {
	t.Setenv(workspace.Variable, "")
	root := t.TempDir()
	w, err := workspace.New(root)
	must(t, err)
	must(t, w.Create())
	deep := filepath.Join(root, "a", "b")
	must(t, os.MkdirAll(deep, 0o755))
	t.Chdir(deep)
	got, err := workspace.FindRegistry()
	must(t, err)
	if got.Dir != w.Registry() {
		t.Errorf("got %s, want %s", got.Dir, w.Registry())
	}
	t.Setenv(workspace.Variable, "/elsewhere")
	if got, _ := workspace.FindRegistry(); got.Dir != "/elsewhere" {
		t.Errorf("got %s, want what the variable says", got.Dir)
	}
	if ignore, err := os.ReadFile(filepath.Join(w.Dir(), ".gitignore")); err != nil || string(ignore) != "*\n" {
		t.Errorf("git is not kept away: %q, %v", ignore, err)
	}
}

func TestRequireSaysWhatThereIsInstead(t *testing.T) {
	r := workspace.Registry{Dir: t.TempDir()}
	if _, err := r.Require("user"); err == nil || !strings.Contains(err.Error(), "is `keelson up` running?") {
		t.Errorf("in an empty registry: %v", err)
	}
	driver, err := file.New(r.Dir, file.Config{})
	must(t, err)
	must(t, driver.Register(t.Context(), discovery.Instance{Service: "audit", ID: "audit-1", Address: "127.0.0.1:1", PID: os.Getpid()}))
	if _, err := r.Require("user"); err == nil || !strings.Contains(err.Error(), "registered are: audit") {
		t.Errorf("with another service: %v", err)
	}
	if found, err := r.Require("audit"); err != nil || len(found) != 1 {
		t.Errorf("got %v, %v", found, err)
	}
}
