// Package file is the registry that needs no server: a directory with one JSON file per instance, written and removed by the instance
// itself.
//
//	<dir>/<service>/<instance-id>.json
//
// It is the default of `keelson up` and fits one host, or hosts that share a file system with rename. A file is written beside its place,
// synced and renamed into it, so a reader sees all of it or nothing. Watchers follow the directory through the system's notifications and
// look at it every Config.PollInterval in any case, which is what remains where notifications are not to be had (network file systems,
// exhausted inotify limits).
//
// What is an error and what is an empty list: a directory that is missing, cannot be read or is no directory is an error ("nothing is
// registered yet" for a missing one), and the resolver, which tries again every few seconds, notices when it appears. A directory that is
// there and has no entry for the service is an empty list. An entry that cannot be read is left out and reported.
//
// Entries of dead processes are not filtered by watchers: a client notices a dead process sooner, by its connection, and does so on every
// host. [Sweep] removes them; `keelson up` does that when it starts and when an instance has died.
//
// Writing to the directory means registering: whoever may write to it can direct the clients' calls. It is created with mode 0755.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keelson-dev/keelson/discovery"
)

// Scheme is the scheme of dial targets: file:///service.
const Scheme = "file"

// DefaultPollInterval is how often a watched directory is looked at when no notification comes.
const DefaultPollInterval = 2 * time.Second

// Config is what can be set about the driver. The zero value works.
type Config struct {
	// PollInterval is how often a watched directory is looked at without a notification. Default DefaultPollInterval.
	PollInterval time.Duration
	// PollOnly switches the system's notifications off.
	PollOnly bool
}

// Driver is a discovery.Driver on a directory. It holds no resources and is safe for concurrent use. Its calls are short file operations
// that cannot be interrupted; they look at their context before they begin.
type Driver struct {
	dir string
	cfg Config
}

var _ discovery.Driver = (*Driver)(nil)

// New returns the driver for a directory, which need not exist: the first registration creates it. A relative directory is relative to
// the process's working directory. New does no I/O.
func New(dir string, cfg Config) (*Driver, error) {
	if dir == "" {
		return nil, errors.New("file registry: no directory; set discovery.file.dir")
	}
	if cfg.PollInterval <= 0 {
		cfg.PollInterval = DefaultPollInterval
	}
	return &Driver{dir: filepath.Clean(dir), cfg: cfg}, nil
}

// Scheme implements discovery.Watcher.
func (d *Driver) Scheme() string { return Scheme }

// String implements discovery.Watcher.
func (d *Driver) String() string { return "file registry " + d.dir }

// Dir returns the directory.
func (d *Driver) Dir() string { return d.dir }

// Register implements discovery.Registrar. It creates the directories that are missing.
func (d *Driver) Register(ctx context.Context, in discovery.Instance) error {
	content, path, err := d.prepare(ctx, in)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	if have, err := os.ReadFile(path); err == nil && string(have) == string(content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	if err := replace(path, content); err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

// Check implements discovery.Registrar.
func (d *Driver) Check(ctx context.Context, in discovery.Instance) error {
	content, path, err := d.prepare(ctx, in)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	have, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: no file %s: %w", d, filepath.Base(path), discovery.ErrNotRegistered)
	case err != nil:
		return fmt.Errorf("%s: %w", d, err)
	case string(have) != string(content):
		return fmt.Errorf("%s: file %s has other content: %w", d, filepath.Base(path), discovery.ErrNotRegistered)
	}
	return nil
}

// Deregister implements discovery.Registrar. A file that another process wrote in the meantime stays.
func (d *Driver) Deregister(ctx context.Context, in discovery.Instance) error {
	_, path, err := d.prepare(ctx, in)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	r, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && r.Process != nil && *r.Process != processOf(in) {
		return nil
	}
	if err != nil && !errors.Is(err, errContent) {
		return fmt.Errorf("%s: %w", d, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", d, err)
	}
	return nil
}

// prepare checks the instance and returns its file's content and path.
func (d *Driver) prepare(ctx context.Context, in discovery.Instance) (content []byte, path string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, "", err
	}
	if err := in.Validate(); err != nil {
		return nil, "", err
	}
	content, err = encode(in)
	return content, filepath.Join(d.dir, in.Service, escape(in.ID)+suffix), err
}

// replace writes a file so that it survives a crash and nobody sees half of it.
func replace(path string, content []byte) error {
	dir := filepath.Dir(path)
	temp, err := writeTemp(dir, content)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		if temp != "" {
			err = errors.Join(err, ignoreNotExist(os.Remove(temp)))
		}
		return err
	}
	return syncDir(dir)
}

// writeTemp returns the name of the file also with an error, if there is one to remove.
func writeTemp(dir string, content []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// syncDir makes a rename durable. File systems that cannot sync a directory are none the worse: what is lost is registered again.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	_ = f.Sync()
	return f.Close()
}
