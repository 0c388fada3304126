package discovery

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/target"
)

const (
	// saveEvery is the shortest time between two writes of one target's list.
	saveEvery = time.Second
	// saveShare makes writing of long lists rarer: it takes at most one part in so many of the time.
	saveShare = 200
	// saveAgain is how often a list that does not change is written, so that its age says when it was last true.
	saveAgain = time.Hour
)

// saver writes lists to a file behind the back of whoever decides: a slow disk holds nobody up.
type saver struct {
	file cacheFile
	log  *slog.Logger
	met  *prometheus.CounterVec
	next chan []target.Instance // the latest, if there is one to write
}

func newSaver(file cacheFile, log *slog.Logger, met *prometheus.CounterVec) *saver {
	return &saver{file: file, log: log, met: met, next: make(chan []target.Instance, 1)}
}

// offer hands over a list to be written soon; it replaces one that has not been written. One goroutine at a time.
func (s *saver) offer(list []target.Instance) {
	select {
	case <-s.next:
	default:
	}
	s.next <- list
}

// run writes until ctx ends, and then what is left.
func (s *saver) run(ctx context.Context) {
	noted := ""
	for {
		select {
		case <-ctx.Done():
			select {
			case list := <-s.next:
				s.write(list, &noted)
			default:
			}
			return
		case list := <-s.next:
			start := time.Now()
			s.write(list, &noted)
			pause(ctx, max(saveEvery, saveShare*time.Since(start)))
		}
	}
}

func (s *saver) write(list []target.Instance, noted *string) {
	err := s.file.write(list, time.Now())
	s.met.WithLabelValues(s.file.target, "write", cacheResult(err)).Inc()
	if err == nil {
		*noted = ""
		return
	}
	if *noted != err.Error() {
		*noted = err.Error()
		s.log.Warn("copy of the list not written", "target", s.file.target, "error", err)
	}
}

// cacheResult is the value of the metric label "result".
func cacheResult(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, fs.ErrNotExist):
		return "missing"
	}
	return "error"
}
