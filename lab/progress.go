package main

import (
	"fmt"
	"os"
	"time"
)

// progress shows what is going on: a status line on a terminal, lines elsewhere.
type progress struct {
	to       *os.File
	terminal bool
	begun    time.Time
	row      string
}

func newProgress(to *os.File) *progress {
	info, err := to.Stat()
	return &progress{to: to, terminal: err == nil && info.Mode()&os.ModeCharDevice != 0, begun: time.Now()}
}

func (p *progress) log(format string, args ...any) {
	line := fmt.Sprintf("%6.1fs %s: %s", time.Since(p.begun).Seconds(), p.row, fmt.Sprintf(format, args...))
	if p.terminal {
		_, _ = fmt.Fprintf(p.to, "\r\x1b[K%s", line)
		return
	}
	_, _ = fmt.Fprintln(p.to, line)
}

// clear removes the status line.
func (p *progress) clear() {
	if p.terminal {
		_, _ = fmt.Fprint(p.to, "\r\x1b[K")
	}
}
