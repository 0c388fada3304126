package main

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// progress shows what is going on: on a terminal a status line, elsewhere a line
// for each event.
type progress struct {
	to       *os.File
	terminal bool
	begun    time.Time

	mu  sync.Mutex
	row string
}

func newProgress(to *os.File) *progress {
	info, err := to.Stat()
	return &progress{to: to, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, begun: time.Now()}
}

// enter says which row the next lines are about.
func (p *progress) enter(row string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.row = row
}

// log shows an event.
func (p *progress) log(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf("%6.1fs %s: %s", time.Since(p.begun).Seconds(), p.row, fmt.Sprintf(format, args...))
	if p.terminal {
		_, _ = fmt.Fprintf(p.to, "\r\x1b[K%s\n", line)
		return
	}
	_, _ = fmt.Fprintln(p.to, line)
}

// live returns what shows a status line, or nil where there is no terminal.
func (p *progress) live() func(string) {
	if !p.terminal {
		return nil
	}
	return func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, _ = fmt.Fprintf(p.to, "\r\x1b[K%6.1fs %s %s", time.Since(p.begun).Seconds(), p.row, text)
	}
}

// clear removes the status line.
func (p *progress) clear() {
	if p.terminal {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
	}
}
