package config

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// fakeFile is watched in a bubble, where no file system can tell of changes.
type fakeFile struct {
	version atomic.Int32
	calls   atomic.Int32
	events  chan fsnotify.Event
	hup     chan os.Signal
}

func (f *fakeFile) watch(ctx context.Context) {
	w := watch{
		content:  func() fingerprint { return fingerprint{byte(f.version.Load())} },
		events:   f.events,
		hup:      f.hup,
		onChange: func() { f.calls.Add(1) },
	}
	w.run(ctx)
}

func TestWatchingIsBoundedInTime(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(f *fakeFile)
		want int32 // calls of onChange
	}{
		{"a change that nobody tells of is found by polling", func(f *fakeFile) { f.version.Add(1); <-time.After(pollEvery + settle) }, 1},
		{"an event without a change is nothing", func(f *fakeFile) { f.events <- fsnotify.Event{}; <-time.After(time.Minute) }, 0},
		{"a signal is heard without a change", func(f *fakeFile) { f.hup <- nil; <-time.After(settle) }, 1},
		{"a burst is one change", func(f *fakeFile) {
			for range 9 {
				f.version.Add(1)
				f.events <- fsnotify.Event{}
				<-time.After(settle / 2)
			}
			<-time.After(time.Minute)
		}, 1},
		{"a burst that does not stop is not waited for", func(f *fakeFile) {
			for range 2 * int(settleMost/settle) {
				f.version.Add(1)
				f.events <- fsnotify.Event{}
				<-time.After(settle / 2)
			}
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeFile{events: make(chan fsnotify.Event), hup: make(chan os.Signal)}
				ctx, cancel := context.WithCancel(t.Context())
				go f.watch(ctx)
				synctest.Wait()
				tt.do(f)
				synctest.Wait()
				if got := f.calls.Load(); got != tt.want {
					t.Errorf("%d calls, want %d", got, tt.want)
				}
				cancel()
			})
		})
	}
}
