package up

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// State is where an instance stands.
//
//	starting --healthy--> serving --stop--> draining --> stopped
//	   ^  |                  |
//	   |  +-----crash--------+--> waiting
//	   +-------backoff-------------+
type State int

// The states of an instance.
const (
	Starting State = iota
	Serving
	Waiting
	Draining
	Stopped
)

// String gives the state as the table shows it.
func (s State) String() string {
	switch s {
	case Starting:
		return "starting"
	case Serving:
		return "serving"
	case Waiting:
		return "waiting"
	case Draining:
		return "draining"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}

func (s State) color() string {
	switch s {
	case Serving:
		return "32"
	case Starting, Draining:
		return "33"
	default:
		return "31"
	}
}

// Row is one instance in the table.
type Row struct {
	Service, Instance string
	PID               int
	GRPC, Ops         string
	Edge              string // where browsers reach it; not a column
	State             State
	Restarts          int
}

var header = []string{"SERVICE", "INSTANCE", "PID", "GRPC", "OPS", "STATE"}

func (r Row) cells() []string {
	pid := "-"
	if r.PID > 0 {
		pid = fmt.Sprint(r.PID)
	}
	state := r.State.String()
	if r.Restarts > 0 {
		state += fmt.Sprintf(" (%d. restart)", r.Restarts)
	}
	return []string{r.Service, r.Instance, pid, orDash(r.GRPC), orDash(r.Ops), state}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// Table renders the rows under a header, aligned, with two spaces between the
// columns and no newline at the end.
func Table(rows []Row, color bool) string {
	cells := [][]string{header}
	for _, r := range rows {
		cells = append(cells, r.cells())
	}
	widths := make([]int, len(header))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		if n > 0 {
			b.WriteByte('\n')
		}
		for i, c := range line {
			last := i == len(line)-1
			switch {
			case color && n == 0:
				fmt.Fprintf(&b, "\x1b[1m%s\x1b[0m", c)
			case color && last:
				fmt.Fprintf(&b, "\x1b[%sm%s\x1b[0m", rows[n-1].State.color(), c)
			default:
				b.WriteString(c)
			}
			if !last {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2))
			}
		}
	}
	return b.String()
}
