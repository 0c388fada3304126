package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keelson-dev/keelson/discovery"
)

// scanner reads one service's directory again and again and parses only what changed.
type scanner struct {
	dir     string // of the registry
	service string
	seen    map[string]seen
}

// seen is what is known of one file.
type seen struct {
	info os.FileInfo
	inst discovery.Instance
	err  error
}

func (s seen) same(info os.FileInfo) bool {
	return s.info != nil && os.SameFile(s.info, info) && s.info.ModTime().Equal(info.ModTime()) && s.info.Size() == info.Size()
}

// unread tells a file that could not be read, which may change without a trace in it, from one that was and is no entry.
func (s seen) unread() bool { return s.err != nil && !errors.Is(s.err, errContent) }

// fails tells whether the file fails as it did before.
func (s seen) fails(before error) bool {
	return s.err != nil && before != nil && s.err.Error() == before.Error()
}

// scan returns the state of the directory, and whether it differs from that of the last scan.
func (s *scanner) scan() (u discovery.Update, changed bool, err error) {
	entries, err := list(s.dir, s.service)
	if err != nil {
		return u, false, err
	}
	changed = s.seen == nil
	next := make(map[string]seen, len(entries))
	for _, name := range entries {
		path := filepath.Join(s.dir, s.service, name)
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed since the directory was read
		}
		have := s.seen[name]
		if err != nil || !have.same(info) || have.unread() {
			before := have.err
			have = s.read(path, info)
			changed = changed || !have.fails(before)
		}
		if errors.Is(have.err, fs.ErrNotExist) {
			continue
		}
		next[name] = have
		if have.err != nil {
			u.Invalid = append(u.Invalid, have.err)
		} else {
			in := have.inst
			in.Meta = cloneMeta(in.Meta)
			u.Instances = append(u.Instances, in)
		}
	}
	changed = changed || len(next) != len(s.seen)
	s.seen = next
	return u, changed, nil
}

func (s *scanner) read(path string, info os.FileInfo) seen {
	r, err := read(path)
	if err == nil && r.Service != s.service {
		err = fmt.Errorf("%s: names service %q: %w", path, r.Service, errContent)
	}
	return seen{info: info, inst: r.Instance, err: err}
}

func cloneMeta(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	c := make(map[string]string, len(m))
	for k, v := range m {
		c[k] = v
	}
	return c
}

// list returns the names of a service's files in order. A service without a directory has none; a registry without one is an error.
func list(dir, service string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, service))
	if errors.Is(err, fs.ErrNotExist) {
		info, statErr := os.Stat(dir)
		switch {
		case errors.Is(statErr, fs.ErrNotExist):
			return nil, fmt.Errorf("nothing is registered yet: directory %s does not exist", dir)
		case statErr != nil:
			return nil, statErr
		case !info.IsDir():
			return nil, fmt.Errorf("%s is not a directory", dir)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, nil
}

// List returns the instances of all services in a registry's directory, ordered by service and file name, and leaves out what it cannot
// read. A directory that does not exist has none.
func List(dir string) ([]discovery.Instance, error) {
	services, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list file registry: %w", err)
	}
	var out []discovery.Instance
	for _, e := range services {
		if discovery.ValidateService(e.Name()) != nil {
			continue
		}
		s := scanner{dir: dir, service: e.Name()}
		u, _, err := s.scan()
		if err != nil {
			continue
		}
		out = append(out, u.Instances...)
	}
	return out, nil
}
