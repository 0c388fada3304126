package logs

import (
	"bytes"
	"strconv"
	"time"
)

// loop is the sink's goroutine: it writes at once after a pause, and gathers
// for an interval after each write.
func (s *Sink) loop() {
	defer close(s.done)
	timer := time.NewTimer(s.cfg.FlushInterval)
	defer timer.Stop()
	var spare, pretty []byte
	for {
		select {
		case <-s.wake:
		case <-s.stop:
			s.last(spare, pretty)
			return
		}
		spare, pretty = s.flush(spare, pretty)
		timer.Reset(s.cfg.FlushInterval)
		select {
		case <-timer.C:
		case <-s.urgent:
		case <-s.stop:
		}
	}
}

// last writes what waits until nothing does, and lets later lines through.
func (s *Sink) last(spare, pretty []byte) {
	for {
		s.mu.Lock()
		if len(s.pending) == 0 && s.dropped == 0 {
			s.closed = true
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		spare, pretty = s.flush(spare, pretty)
	}
}

// flush swaps the buffers and writes what was pending, with a line about those
// that were dropped meanwhile.
func (s *Sink) flush(spare, pretty []byte) (nextSpare, nextPretty []byte) {
	s.mu.Lock()
	batch, lines, dropped := s.pending, s.lines, s.dropped
	s.pending, s.lines, s.dropped = spare[:0], 0, 0
	s.mu.Unlock()
	if dropped > 0 {
		batch = appendDropped(batch, dropped)
	}
	out := batch
	if s.cfg.Pretty {
		pretty = s.render(pretty[:0], batch)
		out = pretty
	}
	if _, err := s.w.Write(out); err != nil {
		s.count(lines)
	}
	return reusable(batch), reusable(pretty)
}

// maxIdle is the largest buffer that is kept whatever it held.
const maxIdle = 256 << 10

// reusable returns a written buffer, or nil when it is large and was needed for
// little: a burst is over then, not between two pieces of it.
func reusable(b []byte) []byte {
	if cap(b) > maxIdle && len(b) < enough/4 {
		return nil
	}
	return b
}

// render turns a batch of lines into what is written.
func (s *Sink) render(dst, batch []byte) []byte {
	if !s.cfg.Pretty {
		return append(dst, batch...)
	}
	for line := range bytes.Lines(batch) {
		dst = Pretty(dst, line, s.cfg.Color)
	}
	return dst
}

func appendDropped(dst []byte, n uint64) []byte {
	dst = append(dst, `{"@timestamp":"`...)
	dst = appendTime(dst, time.Now())
	dst = append(dst, `","log.level":"warn","message":"log lines were dropped: the log's pipe did not take them in time","ecs.version":"`+ecsVersion+`","`+keyDropped+`":`...)
	return append(strconv.AppendUint(dst, n, 10), "}\n"...)
}
