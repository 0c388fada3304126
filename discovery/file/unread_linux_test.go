package file_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

// followed runs a Watch as a user who may be refused a file, which the superuser never is, and hands on its answers.
func followed(t *testing.T, dir string) <-chan discovery.Update {
	t.Helper()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	updates := make(chan discovery.Update)
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread() // which ends with the goroutine
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(65534)
		}
		err := newDriver(t, dir, file.Config{PollInterval: 5 * time.Millisecond}).Watch(ctx, discovery.Query{Service: "user"}, func(u discovery.Update) {
			select {
			case updates <- u:
			case <-ctx.Done():
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	return updates
}

func TestAFileThatMayBeReadAgainIsRead(t *testing.T) {
	dir := t.TempDir()
	must(t, newDriver(t, dir, file.Config{}).Register(t.Context(), user("a")))
	path := filepath.Join(dir, "user", "a.json")
	must(t, os.Chmod(path, 0))
	updates := followed(t, dir)
	if u := <-updates; len(u.Instances) != 0 || len(u.Invalid) != 1 {
		t.Fatalf("got %+v, want an entry that cannot be read", u)
	}
	must(t, os.Chmod(path, 0o644))
	if u := <-updates; len(u.Instances) != 1 || len(u.Invalid) != 0 {
		t.Errorf("got %+v, want the entry", u)
	}
}

func TestAFileThatCannotBeReadIsToldOfOnce(t *testing.T) {
	dir := t.TempDir()
	d := newDriver(t, dir, file.Config{})
	must(t, d.Register(t.Context(), user("a")))
	must(t, os.Symlink("loop.json", filepath.Join(dir, "user", "loop.json")))
	updates := followed(t, dir)
	if u := <-updates; len(u.Instances) != 1 || len(u.Invalid) != 1 {
		t.Fatalf("got %+v, want one entry and one that cannot be read", u)
	}
	select {
	case u := <-updates:
		t.Errorf("told again: %+v", u)
	case <-time.After(100 * time.Millisecond): // many looks
	}
}
