package config

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The times of Watch.
const (
	pollEvery  = 5 * time.Second        // for file systems that tell nobody
	settle     = 100 * time.Millisecond // quiet time after a change
	settleMost = time.Second            // how long changes that do not stop are waited for
)

// Watch calls onChange, from its own goroutine, each time the file's content
// changed and at each SIGHUP, until ctx ends; it returns nil. Usually onChange
// calls Reload. Changes that follow each other quickly are one.
//
// It watches the file's directory, so that it sees an editor's rename and the
// symbolic links that Kubernetes swaps, and reads the file every 5 s besides,
// for file systems that tell nobody. Without a file it waits for SIGHUP only.
func (ld *Loaded) Watch(ctx context.Context, onChange func()) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	ld.mu.Lock()
	w := watch{seen: ld.read, hup: hup, onChange: onChange}
	ld.mu.Unlock()
	w.content = func() fingerprint { return w.seen }
	if ld.opts.File == "" {
		w.run(ctx)
		return nil
	}
	w.content = func() fingerprint { return fingerprintOf(readFile(ld.opts.File)) }
	// Without notifications, for want of inotify watches for example, the
	// polling is enough.
	if fs, err := fsnotify.NewWatcher(); err == nil {
		defer fs.Close()
		if fs.Add(filepath.Dir(ld.opts.File)) == nil {
			w.events, w.errors = fs.Events, fs.Errors
		}
	}
	w.run(ctx)
	return nil
}

// watch is one run of Watch.
type watch struct {
	content  func() fingerprint // of the file now
	seen     fingerprint        // of the file when onChange was last called
	events   <-chan fsnotify.Event
	errors   <-chan error
	hup      <-chan os.Signal
	onChange func()
}

func (w *watch) run(ctx context.Context) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	first := make(chan struct{}) // the file may have changed since it was loaded
	close(first)
	for {
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-first:
			first = nil
			if w.content() == w.seen {
				continue
			}
		case <-w.hup:
			asked = true
		case <-w.errors: // events were lost
		case <-poll.C:
			if w.content() == w.seen {
				continue
			}
		case <-w.events:
		}
		if !w.settled(ctx) {
			return
		}
		if now := w.content(); asked || now != w.seen {
			w.seen = now
			w.onChange()
		}
	}
}

// settled waits until nothing has happened for a while, but not for ever; false
// if ctx ended.
func (w *watch) settled(ctx context.Context) bool {
	quiet, most := time.NewTimer(settle), time.NewTimer(settleMost)
	defer quiet.Stop()
	defer most.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-w.events:
			quiet.Reset(settle)
		case <-quiet.C:
			return true
		case <-most.C:
			return true
		}
	}
}
