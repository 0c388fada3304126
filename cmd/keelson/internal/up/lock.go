package up

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
)

// lock makes sure that one up runs in a workspace. The kernel gives it back
// when the process ends, however it ends.
func lock(w workspace.Workspace) (unlock func(), err error) {
	path := filepath.Join(w.Dir(), "up.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the workspace: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // for the message only
		return nil, fmt.Errorf("another `keelson up` (PID %s) runs in %s; use its instances with `keelson call`, or stop it first (Ctrl-C, or kill %[1]s)",
			strings.TrimSpace(string(holder)), w.Root)
	}
	_ = f.Truncate(0) // the content is for people
	_, _ = fmt.Fprintf(f, "%d\n", os.Getpid())
	return func() { _ = f.Close() }, nil
}
