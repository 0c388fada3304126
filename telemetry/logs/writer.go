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

// last writes what waits until nothing does, or the writer fails, and lets later
// lines through.
func (s *Sink) last(spare, pretty []byte) {
	for {
		s.mu.Lock()
		if len(s.pending) == 0 && (s.dropped == 0 || s.failing) {
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
	batch, dropped := s.pending, s.dropped
	s.pending, s.lines, s.dropped = spare[:0], 0, 0
	s.mu.Unlock()
	own := len(batch)
	if dropped > 0 {
		batch = appendDropped(batch, dropped)
	}
	out := batch
	if s.cfg.Pretty {
		pretty = s.render(pretty[:0], batch)
		out = pretty
	}
	n, err := s.put(out)
	s.failed(err, batch[:own], min(n, own), dropped)
	return reusable(batch), reusable(pretty)
}

// put writes lines, on a line of their own when half a line was written last,
// and returns how much of them was taken.
func (s *Sink) put(out []byte) (n int, err error) {
	if s.torn {
		if _, err := s.w.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
		s.torn = false
	}
	n, err = s.w.Write(out)
	if n > 0 {
		s.torn = out[min(n, len(out))-1] != '\n'
	}
	return n, err
}

// failed counts the lines of a batch that a writer which failed did not take,
// and keeps the number until it can be told.
func (s *Sink) failed(err error, batch []byte, written int, dropped uint64) {
	var lost uint64
	if err != nil {
		if s.cfg.Pretty {
			written = 0 // what was rendered has another length
		}
		lost = uint64(bytes.Count(batch[written:], []byte{'\n'}))
		s.count(lost)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = err != nil
	if s.failing {
		s.dropped += dropped + lost
	}
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
