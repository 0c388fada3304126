package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/keelson-dev/keelson/telemetry/logs"
)

// valve is a writer that blocks while it is shut.
type valve struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	open chan struct{} // closed: lets through
}

func newValve() *valve { return &valve{open: make(chan struct{})} }

func (v *valve) Write(p []byte) (int, error) {
	<-v.open
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.buf.Write(p)
}

func (v *valve) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.buf.String()
}

func run(t *testing.T, s *logs.Sink) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func newSink(t *testing.T, w interface{ Write([]byte) (int, error) }, cfg logs.SinkConfig) *logs.Sink {
	t.Helper()
	s, err := logs.NewSink(w, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(s *logs.Sink, format string, args ...any) {
	_, _ = fmt.Fprintf(s, format+"\n", args...)
}

func TestAnIdleSinkWritesAtOnceAndABusyOneWithin100ms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve()
		close(v.open)
		s := newSink(t, v, logs.SinkConfig{FlushInterval: time.Hour}) // capped
		stop := run(t, s)
		write(s, "first")
		synctest.Wait() // no time has passed
		if got := v.String(); got != "first\n" {
			t.Errorf("idle sink wrote %q", got)
		}
		write(s, "second")
		synctest.Wait()
		if got := v.String(); got != "first\n" {
			t.Errorf("a busy sink gathers, and wrote %q", got)
		}
		<-time.After(100 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if got := v.String(); got != "first\nsecond\n" {
			t.Errorf("after 100 ms it had written %q", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnErrorIsWrittenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve()
		close(v.open)
		s := newSink(t, v, logs.SinkConfig{})
		stop := run(t, s)
		write(s, "first")
		synctest.Wait()
		logs.New(s, logs.Config{}).Logger().Error("boom")
		synctest.Wait()
		if got := v.String(); !strings.Contains(got, "boom") {
			t.Errorf("wrote only %q", got)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestABlockedPipeNeverBlocksAndItsDropsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, reg := newValve(), prometheus.NewRegistry()
		s := newSink(t, v, logs.SinkConfig{Buffer: 1000, Registerer: reg})
		stop := run(t, s)
		write(s, "under way")
		synctest.Wait() // the writer is blocked now
		for i := range 100 {
			write(s, "%099d", i) // 100 bytes each: ten fit
		}
		if got := s.Dropped(); got != 90 {
			t.Errorf("dropped %d lines, want 90", got)
		}
		close(v.open)
		<-time.After(time.Second) // of the bubble's clock
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(v.String()), "\n")
		if len(lines) != 12 || !strings.Contains(lines[11], `"keelson.dropped_lines":90`) {
			t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
		}
		want := "# HELP keelson_log_dropped_lines_total Log lines dropped because the log's pipe did not take them in time, or not at all.\n" +
			"# TYPE keelson_log_dropped_lines_total counter\nkeelson_log_dropped_lines_total 90\n"
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestAnOrderlyStopLosesNothing(t *testing.T) {
	tests := []struct {
		name string
		stop func(s *logs.Sink) error
	}{
		{"Run's context ends", func(s *logs.Sink) error {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			return s.Run(ctx)
		}},
		{"Close without Run", (*logs.Sink).Close},
		{"Close twice", func(s *logs.Sink) error { return errors.Join(s.Close(), s.Close()) }},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			s := newSink(t, &out, logs.SinkConfig{})
			for i := range 1000 {
				write(s, "%d", i)
			}
			if err := tc.stop(s); err != nil {
				t.Fatal(err)
			}
			write(s, "after the stop")
			if got := strings.Count(out.String(), "\n"); got != 1001 {
				t.Errorf("%d lines, want 1001", got)
			}
		})
	}
}

func TestAPipeThatStaysBlockedIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve()
		s := newSink(t, v, logs.SinkConfig{FlushTimeout: time.Second})
		stop := run(t, s)
		write(s, "under way")
		synctest.Wait()
		write(s, "waits")
		if err := stop(); err == nil || !strings.Contains(err.Error(), "at least 1 lines are lost") {
			t.Errorf("got %v", err)
		}
		write(s, "later")
		if got := s.Dropped(); got != 2 {
			t.Errorf("dropped %d lines, want 2", got)
		}
		close(v.open) // so that the writer's goroutine ends with the test
	})
}

// brittle is a writer that fails once its room is used up, as a full disk does.
type brittle struct {
	room int
	buf  bytes.Buffer
}

func (b *brittle) Write(p []byte) (int, error) {
	n := min(len(p), b.room)
	b.room -= n
	b.buf.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left on device")
	}
	return n, nil
}

func TestLinesThatAFailingWriterRefusedAreCountedAndTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &brittle{room: 25}
		s := newSink(t, disk, logs.SinkConfig{})
		stop := run(t, s)
		for i := range 5 { // the first fits, and half of one
			write(s, "%015d", i)
			<-time.After(time.Second) // of the bubble's clock
		}
		if got := s.Dropped(); got != 4 {
			t.Errorf("dropped %d lines, want 4", got)
		}
		disk.room = 1 << 20
		write(s, "after")
		<-time.After(time.Second)
		lines := strings.Split(disk.buf.String(), "\n")
		if len(lines) != 5 || lines[2] != "after" || !strings.Contains(lines[3], `"keelson.dropped_lines":4`) {
			t.Errorf("wrote %q", lines)
		}
		disk.room = 0
		write(s, "the last")
		if err := stop(); err != nil { // and it ends, although the writer fails
			t.Error(err)
		}
	})
}

func TestConcurrentWritersKeepLinesWhole(t *testing.T) {
	var out bytes.Buffer
	s := newSink(t, &out, logs.SinkConfig{})
	stop := run(t, s)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				write(s, "whole line")
			}
		})
	}
	all.Wait()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "whole line\n"); got != 4000 || out.Len() != 4000*len("whole line\n") {
		t.Errorf("%d whole lines in %d bytes", got, out.Len())
	}
}

func TestRegisteringTheSinkTwiceIsAnError(t *testing.T) {
	reg := prometheus.NewRegistry()
	newSink(t, &bytes.Buffer{}, logs.SinkConfig{Registerer: reg})
	if _, err := logs.NewSink(&bytes.Buffer{}, logs.SinkConfig{Registerer: reg}); err == nil {
		t.Error("no error")
	}
}
