package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the sources have to be quiet before they are built: an
// editor or git writes many files at once.
const settle = 300 * time.Millisecond

// sources is what a service is built from, within the module.
type sources struct {
	dirs   map[string]bool // of Go files
	embeds map[string]bool // files that are embedded
}

// watch rebuilds and replaces what has changed, until the context ends. Then it
// returns nil.
func (p *platform) watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch the sources: %w", err)
	}
	defer func() { _ = w.Close() }()
	of := make(map[*group]sources, len(p.groups))
	for _, g := range p.groups {
		if of[g], err = p.follow(ctx, w, g.service); err != nil {
			return err
		}
	}
	p.out.note(fmt.Sprintf("watching %d directories for changes", len(w.WatchList())))
	changed := map[*group]bool{}
	quiet := time.NewTimer(settle)
	quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			p.warn(fmt.Sprintf("watch the sources: %s", err))
		case e := <-w.Events:
			if p.concerns(e, of, changed) {
				quiet.Reset(settle)
			}
		case <-quiet.C:
			for _, g := range p.groups {
				if changed[g] {
					p.renew(ctx, w, g, of)
				}
			}
			clear(changed)
		}
	}
}

// concerns marks the services that a change of a file concerns.
func (p *platform) concerns(e fsnotify.Event, of map[*group]sources, changed map[*group]bool) bool {
	if !e.Has(fsnotify.Write | fsnotify.Create | fsnotify.Remove | fsnotify.Rename) {
		return false
	}
	found := false
	for g, s := range of {
		isGo := filepath.Ext(e.Name) == ".go" && s.dirs[filepath.Dir(e.Name)]
		isModule := e.Name == filepath.Join(p.ws.Root, "go.mod")
		if isGo || isModule || s.embeds[e.Name] {
			changed[g], found = true, true
		}
	}
	return found
}

// renew builds a service again and replaces its instances one after another.
// Whatever goes wrong is shown, and what runs goes on.
func (p *platform) renew(ctx context.Context, w *fsnotify.Watcher, g *group, of map[*group]sources) {
	changed, err := p.build.build(ctx, g.service)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		p.warn(fmt.Sprintf("%s; the old instances run on", err))
		return
	case !changed:
		p.out.note(g.service.Name + ": the program is the same as before")
		return
	}
	if s, err := p.follow(ctx, w, g.service); err == nil {
		of[g] = s
	} else if ctx.Err() == nil {
		p.warn(err.Error())
	}
	for _, i := range g.instances {
		reply := make(chan error, 1)
		select {
		case i.replace <- reply:
		case <-ctx.Done():
			return
		}
		select {
		case err = <-reply:
		case <-ctx.Done():
			return
		}
		if err != nil {
			p.warn(fmt.Sprintf("%s; the old instances of %s run on", err, g.service.Name))
			return
		}
	}
	p.out.note(fmt.Sprintf("%s: %d instances replaced", g.service.Name, len(g.instances)))
}

// follow watches everything that a service is built from.
func (p *platform) follow(ctx context.Context, w *fsnotify.Watcher, s *Service) (sources, error) {
	listed, said, err := p.build.run(ctx, nil, "list", "-deps", "-json=Dir,Module,EmbedFiles", s.Package)
	if err != nil {
		return sources{}, fmt.Errorf("list the packages of %s: %w\n%s", s.Name, err, said)
	}
	from, err := parseSources(strings.NewReader(listed))
	if err != nil {
		return sources{}, fmt.Errorf("list the packages of %s: %w", s.Name, err)
	}
	dirs := map[string]bool{p.ws.Root: true}
	for dir := range from.dirs {
		dirs[dir] = true
	}
	for file := range from.embeds {
		dirs[filepath.Dir(file)] = true
	}
	var faults []error
	for dir := range dirs {
		if err := w.Add(dir); err != nil {
			faults = append(faults, fmt.Errorf("watch %s: %w", dir, err))
		}
	}
	return from, errors.Join(faults...)
}

// parseSources reads what go list says, and keeps what belongs to the module
// or to one that replaces another from a directory.
func parseSources(r io.Reader) (sources, error) {
	s := sources{dirs: map[string]bool{}, embeds: map[string]bool{}}
	d := json.NewDecoder(r)
	for {
		var pkg struct {
			Dir        string
			EmbedFiles []string
			Module     *struct {
				Main    bool
				Replace *struct{ Version string }
			}
		}
		err := d.Decode(&pkg)
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		m := pkg.Module
		if m == nil || !m.Main && (m.Replace == nil || m.Replace.Version != "") {
			continue
		}
		s.dirs[pkg.Dir] = true
		for _, f := range pkg.EmbedFiles {
			s.embeds[filepath.Join(pkg.Dir, f)] = true
		}
	}
}
