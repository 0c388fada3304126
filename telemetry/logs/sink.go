package logs

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of a zero [SinkConfig].
const (
	DefaultBuffer        = 4 << 20
	DefaultFlushInterval = 50 * time.Millisecond
	DefaultFlushTimeout  = time.Second
)

// SinkConfig bounds a [Sink]. The zero value works.
type SinkConfig struct {
	// Buffer is how many bytes wait for the writer at most; lines beyond are
	// dropped and counted. As many again may be under way in one write.
	// Zero: 4 MiB.
	Buffer int
	// FlushInterval is the longest that a line waits while others are being
	// gathered; an idle sink writes at once. It is what a crash can lose.
	// Zero: 50 ms; at most 100 ms.
	FlushInterval time.Duration
	// FlushTimeout bounds the last write of an orderly stop. Zero: 1 s.
	FlushTimeout time.Duration
	// Pretty renders each line for people, in the writer's goroutine, and
	// Color colours it.
	Pretty, Color bool
	// Registerer takes keelson_log_dropped_lines_total; nil: off.
	Registerer prometheus.Registerer
}

// Sink carries lines to a writer that may be slow or blocked, without ever
// making the caller wait: a bounded buffer, and one goroutine that writes.
// Lines that find no room are dropped and counted, and the log says how many
// when the writer takes lines again. Write is safe for concurrent use.
//
// A sink has three states:
//
//	buffering --Run--> writing --Run's context ends, or Close--> closed
//
// Lines written before Run wait in the buffer. Lines written after the close
// go straight to the writer, or are dropped when it was given up.
type Sink struct {
	cfg     SinkConfig
	w       io.Writer
	counter prometheus.Counter // nil: off
	total   atomic.Uint64

	mu      sync.Mutex
	pending []byte
	lines   uint64 // in pending
	dropped uint64 // not reported yet
	closed  bool   // the writer has ended
	givenUp bool
	failing bool // the last write failed

	torn bool // owned by the writer's goroutine: it wrote half a line last

	wake, urgent, stop, done chan struct{}
	start, end               sync.Once
}

// NewSink returns a sink that writes to w, for example os.Stdout. It starts
// nothing; [Sink.Run] writes. The error is that of registering the metric.
func NewSink(w io.Writer, cfg SinkConfig) (*Sink, error) {
	if cfg.Buffer <= 0 {
		cfg.Buffer = DefaultBuffer
	}
	if cfg.FlushInterval <= 0 {
		cfg.FlushInterval = DefaultFlushInterval
	}
	cfg.FlushInterval = min(cfg.FlushInterval, 100*time.Millisecond)
	if cfg.FlushTimeout <= 0 {
		cfg.FlushTimeout = DefaultFlushTimeout
	}
	s := &Sink{
		cfg: cfg, w: w,
		wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	if cfg.Registerer == nil {
		return s, nil
	}
	s.counter = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keelson_log_dropped_lines_total",
		Help: "Log lines dropped because the log's pipe did not take them in time, or not at all.",
	})
	if err := cfg.Registerer.Register(s.counter); err != nil {
		return nil, fmt.Errorf("register the metric of the log sink: %w", err)
	}
	return s, nil
}

// enough is how much is worth a write of its own, in bytes: gathering more
// would only leave the processor's cache.
const enough = 64 << 10

// Write takes whole lines, and never blocks while the sink runs. It reports
// success for dropped lines too: there is nothing a caller could do.
func (s *Sink) Write(line []byte) (int, error) {
	s.write(line, false)
	return len(line), nil
}

// write takes one line; one that is urgent does not wait for others.
func (s *Sink) write(line []byte, urgent bool) {
	s.mu.Lock()
	if s.closed {
		defer s.mu.Unlock()
		s.writeThrough(line)
		return
	}
	if len(s.pending)+len(line) > s.cfg.Buffer {
		s.dropped++
		s.mu.Unlock()
		s.count(1)
		return
	}
	first := len(s.pending) == 0
	s.pending = append(s.pending, line...)
	s.lines++
	urgent = urgent || len(s.pending) > min(s.cfg.Buffer/4, enough)
	s.mu.Unlock()
	if first {
		signal(s.wake)
	}
	if urgent {
		signal(s.urgent)
	}
}

// writeThrough writes a line after the close; the caller holds the lock.
func (s *Sink) writeThrough(line []byte) {
	if s.givenUp {
		s.count(1)
		return
	}
	if _, err := s.w.Write(s.render(nil, line)); err != nil {
		s.count(1)
	}
}

func (s *Sink) count(n uint64) {
	s.total.Add(n)
	if s.counter != nil {
		s.counter.Add(float64(n))
	}
}

// Dropped returns how many lines were lost so far.
func (s *Sink) Dropped() uint64 { return s.total.Load() }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run writes until the context ends or the sink is closed, then flushes what
// waits. The error says how many lines were given up because the writer did not
// take them within FlushTimeout. Call it once.
func (s *Sink) Run(ctx context.Context) error {
	s.begin()
	select {
	case <-ctx.Done():
	case <-s.stop:
	}
	return s.Close()
}

func (s *Sink) begin() { s.start.Do(func() { go s.loop() }) }

// Close flushes what waits, also when Run was never called, and ends Run. It
// waits for FlushTimeout at most; a writer that is still blocked then is given
// up, and its goroutine ends when the writer lets go. Closing twice is fine.
func (s *Sink) Close() error {
	s.begin()
	s.end.Do(func() { close(s.stop) })
	timer := time.NewTimer(s.cfg.FlushTimeout)
	defer timer.Stop()
	select {
	case <-s.done:
		return nil
	case <-timer.C:
	}
	return s.giveUp()
}

func (s *Sink) giveUp() error {
	s.mu.Lock()
	lost := s.lines
	s.pending, s.lines = nil, 0
	s.closed, s.givenUp = true, true
	s.mu.Unlock()
	s.count(lost)
	return fmt.Errorf("flush the log: its pipe took nothing for %v, so at least %d lines are lost; look at what reads the log", s.cfg.FlushTimeout, lost)
}
