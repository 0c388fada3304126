// Package workspace knows the directory .keelson, in which `keelson up` keeps
// what it needs, and where the other commands find what runs.
//
//	.keelson/bin/        the programs that up has built
//	.keelson/data/       the embedded databases of the services
//	.keelson/discovery/  the registry: one JSON file per running instance
//	.keelson/up.lock     held while up runs; contains its process ID
package workspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/file"
)

const (
	// DirName is the name of the directory.
	DirName = ".keelson"
	// Variable names the registry's directory where there is no .keelson.
	Variable = "KEELSON_DISCOVERY__FILE__DIR"
)

// Workspace is one .keelson directory. It holds no resources.
type Workspace struct {
	// Root is the directory that contains .keelson, as an absolute path.
	Root string
}

// New returns the workspace below a directory, which need not have one yet.
func New(root string) (Workspace, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return Workspace{}, fmt.Errorf("find the directory %s: %w", root, err)
	}
	return Workspace{Root: abs}, nil
}

// Dir is the directory .keelson itself.
func (w Workspace) Dir() string { return filepath.Join(w.Root, DirName) }

// Bin is where the built programs are.
func (w Workspace) Bin() string { return filepath.Join(w.Dir(), "bin") }

// Data is where the embedded databases are.
func (w Workspace) Data() string { return filepath.Join(w.Dir(), "data") }

// Registry is the directory of the file registry.
func (w Workspace) Registry() string { return filepath.Join(w.Dir(), "discovery") }

// Create makes the directories, and keeps git away from them.
func (w Workspace) Create() error {
	for _, dir := range []string{w.Bin(), w.Data(), w.Registry()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("create the working directory of up: %w", err)
		}
	}
	ignore := filepath.Join(w.Dir(), ".gitignore")
	if _, err := os.Stat(ignore); err == nil {
		return nil
	}
	if err := os.WriteFile(ignore, []byte("*\n"), 0o644); err != nil {
		return fmt.Errorf("keep git away from %s: %w", w.Dir(), err)
	}
	return nil
}

// Registry is a registry's directory and what is known of how it was found.
type Registry struct {
	// Dir is the directory, as an absolute path where it could be told.
	Dir string
}

// FindRegistry finds the registry as the commands do: [Variable], then the
// .keelson directory of the current directory or of one above it. Without any,
// it is the one that `keelson up` would make here.
func FindRegistry() (Registry, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return Registry{Dir: dir}, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return Registry{}, fmt.Errorf("find the registry: %w", err)
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		w := Workspace{Root: dir}
		if info, err := os.Stat(w.Dir()); err == nil && info.IsDir() {
			return Registry{Dir: w.Registry()}, nil
		}
		if dir == filepath.Dir(dir) {
			return Registry{Dir: Workspace{Root: here}.Registry()}, nil
		}
	}
}

// Instances returns what runs, after the entries of dead processes were
// removed: without that a killed platform would look alive.
func (r Registry) Instances() ([]discovery.Instance, error) {
	_, sweepErr := file.Sweep(r.Dir)
	list, err := file.List(r.Dir)
	if err != nil {
		return nil, errors.Join(sweepErr, err)
	}
	return list, nil // an entry that could not be removed is found out by its connection
}

// Services returns the names of what runs, sorted.
func Services(instances []discovery.Instance) []string {
	var names []string
	for _, in := range instances {
		names = append(names, in.Service)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Of returns the instances of one service.
func Of(instances []discovery.Instance, service string) []discovery.Instance {
	return slices.DeleteFunc(slices.Clone(instances), func(in discovery.Instance) bool { return in.Service != service })
}

// Require returns the instances of one service, or an error that says what
// there is instead and what to do.
func (r Registry) Require(service string) ([]discovery.Instance, error) {
	all, err := r.Instances()
	if err != nil {
		return nil, err
	}
	if found := Of(all, service); len(found) > 0 {
		return found, nil
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no instance of %s is registered in %s; is `keelson up` running? For a service elsewhere give host:port", service, r.Dir)
	}
	return nil, fmt.Errorf("no instance of %s is registered in %s; registered are: %s", service, r.Dir, strings.Join(Services(all), ", "))
}
