package file

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/keelson-dev/keelson/discovery"
)

// settle is how long a burst of notifications is waited for before the directory is read.
const settle = 5 * time.Millisecond

// CheckQuery reports why Watch would never answer: it does no I/O.
func (d *Driver) CheckQuery(q discovery.Query) error {
	if names := slices.Sorted(maps.Keys(q.Params)); len(names) > 0 {
		return fmt.Errorf("unknown parameter %q in the dial target; a file registry takes none", names[0])
	}
	return discovery.ValidateService(q.Service)
}

// Watch implements discovery.Watcher. It knows no parameters.
func (d *Driver) Watch(ctx context.Context, q discovery.Query, deliver func(discovery.Update)) error {
	if err := d.CheckQuery(q); err != nil {
		return err
	}
	n := d.notifier(q.Service)
	defer n.close()
	s := scanner{dir: d.dir, service: q.Service}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.attach()
		u, changed, err := s.scan()
		if err != nil {
			return err
		}
		if changed {
			deliver(u)
		}
		n.wait(ctx, d.cfg.PollInterval)
	}
}

// notifier waits until a directory may have changed. Without notifications it waits for the time to be up.
type notifier struct {
	w     *fsnotify.Watcher // nil without notifications
	paths []string
	infos map[string]os.FileInfo // what is watched under each path
}

func (d *Driver) notifier(service string) *notifier {
	n := &notifier{paths: []string{d.dir, filepath.Join(d.dir, service)}, infos: make(map[string]os.FileInfo)}
	if !d.cfg.PollOnly {
		if w, err := fsnotify.NewWatcher(); err == nil {
			n.w = w
		}
	}
	return n
}

func (n *notifier) close() {
	if n.w != nil {
		_ = n.w.Close()
	}
}

// attach watches the directories that are there now: one that was removed or renamed and made anew under its name is another one. What
// cannot be watched is polled.
func (n *notifier) attach() {
	if n.w == nil {
		return
	}
	for _, path := range n.paths {
		info, err := os.Stat(path)
		if old := n.infos[path]; err == nil && old != nil && os.SameFile(old, info) {
			continue
		}
		if n.infos[path] != nil {
			_ = n.w.Remove(path)
			delete(n.infos, path)
		}
		if err == nil && n.w.Add(path) == nil {
			n.infos[path] = info
		}
	}
}

// wait returns after a notification (and what follows it closely), when the time is up, or when ctx ends.
func (n *notifier) wait(ctx context.Context, poll time.Duration) {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	if n.w == nil {
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		return
	}
	first := true
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-n.w.Events:
		case <-n.w.Errors: // an overflow, for example: look
		}
		if first {
			// One look answers all notifications of a burst; those that keep coming do not put it off.
			timer.Reset(settle)
			first = false
		}
	}
}
