package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keelson-dev/keelson/discovery"
)

// staleTemp is the age above which an unfinished file is what a crash left behind.
const staleTemp = time.Minute

// Sweep removes the entries of processes that are over, and unfinished files of more than a minute. It leaves alone what it cannot judge:
// entries of other hosts, containers and boots, those written by hand, and unreadable ones. A process counts as over when its PID is gone
// or belongs to a process that started at another time (on Linux; elsewhere only when the PID is gone). It returns the instances whose
// entries it removed. A directory that does not exist is clean.
func Sweep(dir string) ([]discovery.Instance, error) {
	services, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sweep file registry: %w", err)
	}
	here := scope()
	var removed []discovery.Instance
	var errs []error
	for _, service := range services {
		if !service.IsDir() || discovery.ValidateService(service.Name()) != nil {
			continue
		}
		gone, err := sweepService(filepath.Join(dir, service.Name()), here)
		removed = append(removed, gone...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("sweep file registry: %w", err)
	}
	return removed, nil
}

func sweepService(dir, here string) (removed []discovery.Instance, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, ignoreNotExist(err)
	}
	var errs []error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), tempPrefix):
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > staleTemp {
				errs = append(errs, ignoreNotExist(os.Remove(path)))
			}
		case strings.HasSuffix(e.Name(), suffix):
			r, err := read(path)
			if err != nil || r.Process == nil || r.Process.Scope == "" || r.Process.Scope != here || !ended(*r.Process) {
				continue
			}
			if err := os.Remove(path); err != nil {
				errs = append(errs, ignoreNotExist(err))
				continue
			}
			removed = append(removed, r.Instance)
		}
	}
	return removed, errors.Join(errs...)
}
