package discovery

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/target"
)

const (
	// cacheVersion is the version of the file's format; another one is not read.
	cacheVersion = 1
	// maxCache is the size above which a file is not a copy of a list, in bytes.
	maxCache = 256 << 20
)

// cacheFile is the last good list of one target on disk, for a process that starts while the registry is away. The zero value is none.
type cacheFile struct {
	path             string
	target, registry string
}

// cached is the content of the file.
type cached struct {
	Version  int       `json:"version"`
	Target   string    `json:"target"`
	Registry string    `json:"registry"`
	Saved    time.Time `json:"saved"`
	// Sum is the SHA-256 of Instances as they stand in the file.
	Sum       string          `json:"sha256"`
	Instances json.RawMessage `json:"instances"`
}

// newCacheFile names the file of a target in a registry; the name begins with that of the service for those who look for it.
func newCacheFile(dir, service, dialled, registry string) cacheFile {
	if dir == "" {
		return cacheFile{}
	}
	sum := sha256.Sum256([]byte(dialled + "\x00" + registry))
	name := strings.ToLower(service) + "-" + hex.EncodeToString(sum[:8]) + ".json"
	return cacheFile{path: filepath.Join(dir, name), target: dialled, registry: registry}
}

// read returns the list and when it was written. An error that wraps fs.ErrNotExist says that there is none.
func (c cacheFile) read() ([]target.Instance, time.Time, error) {
	if err := c.trusted(); err != nil {
		return nil, time.Time{}, err
	}
	b, err := os.ReadFile(c.path)
	if err != nil {
		return nil, time.Time{}, err
	}
	var f cached
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: is no copy of a list: %w", c.path, err)
	}
	sum := sha256.Sum256(f.Instances)
	var list []target.Instance
	switch {
	case f.Version != cacheVersion:
		return nil, time.Time{}, fmt.Errorf("%s: has version %d, not %d", c.path, f.Version, cacheVersion)
	case f.Target != c.target || f.Registry != c.registry:
		return nil, time.Time{}, fmt.Errorf("%s: is of %s in %s", c.path, f.Target, f.Registry)
	case f.Sum != hex.EncodeToString(sum[:]):
		return nil, time.Time{}, fmt.Errorf("%s: its checksum does not match; it was cut short or changed", c.path)
	}
	if err := json.Unmarshal(f.Instances, &list); err != nil {
		return nil, time.Time{}, fmt.Errorf("%s: is no copy of a list: %w", c.path, err)
	}
	if len(list) == 0 {
		return nil, time.Time{}, fmt.Errorf("%s: has no instance in it", c.path)
	}
	return list, f.Saved, nil
}

// trusted refuses what others could have written: who writes the file says where calls go.
func (c cacheFile) trusted() error {
	for _, path := range []string{filepath.Dir(c.path), c.path} {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case foreign(info):
			return fmt.Errorf("%s: belongs to another user, who could have written anything to it; give it to this process's user, or choose another directory", path)
		case info.Mode().Perm()&0o022 != 0:
			return fmt.Errorf("%s: others may write to it (mode %s); take that away, for example with chmod go-w", path, info.Mode().Perm())
		case info.Size() > maxCache && !info.IsDir():
			return fmt.Errorf("%s: is larger than %d bytes", path, maxCache)
		}
	}
	return nil
}

// write replaces the file so that a reader sees all of it or nothing.
func (c cacheFile) write(list []target.Instance, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(c.path), 0o700); err != nil {
		return err
	}
	instances, err := json.Marshal(list)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(instances)
	b, err := json.Marshal(cached{
		Version: cacheVersion, Target: c.target, Registry: c.registry, Saved: now, Sum: hex.EncodeToString(sum[:]), Instances: instances,
	})
	if err != nil {
		return err
	}
	return c.replace(b)
}

// replace writes a file beside the one that it becomes. Its error does not name that file, whose name is another one each time: the same
// failure is to be told once.
func (c cacheFile) replace(b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(c.path), ".tmp-*") // with mode 0600
	if err == nil {
		_, err = f.Write(b)
		if err = errors.Join(err, f.Close()); err == nil {
			err = os.Rename(f.Name(), c.path)
		}
		if err != nil {
			_ = os.Remove(f.Name()) // what could not be written may not be removable either
		}
	}
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return fmt.Errorf("%s: %s: %w", c.path, path.Op, path.Err)
	case errors.As(err, &link):
		return fmt.Errorf("%s: %s: %w", c.path, link.Op, link.Err)
	}
	return err
}
