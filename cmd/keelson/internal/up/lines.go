package up

import (
	"bytes"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/telemetry/logs"
)

// maxLine is where a line without an end is cut.
const maxLine = 256 << 10

// lineWriter takes the output of one process apart into lines and hands them
// on, with the name of the instance before each, and, for those that tell of
// nothing that went wrong, when they were written. It is used by one goroutine.
type lineWriter struct {
	prefix string
	color  bool
	same   [][]byte // what each JSON line repeats of the prefix
	emit   func(line []byte, routine time.Time)
	rest   []byte
}

// timeOf is when a JSON line of ours was written; now if it does not say.
func timeOf(raw []byte) time.Time {
	const key = `"@timestamp":"`
	if _, rest, ok := bytes.Cut(raw, []byte(key)); ok {
		if text, _, ok := bytes.Cut(rest, []byte{'"'}); ok {
			if at, err := time.Parse(time.RFC3339Nano, string(text)); err == nil {
				return at
			}
		}
	}
	return time.Now()
}

// What lines of no interest contain.
var (
	infoLevel  = []byte(`"log.level":"info"`)
	debugLevel = []byte(`"log.level":"debug"`)
)

// palette colours the instances' names; red is kept for errors.
var palette = []int{36, 35, 34, 32, 33, 96, 95, 94}

func newLineWriter(service, id string, number, width int, color bool, emit func([]byte, time.Time)) *lineWriter {
	prefix := fmt.Sprintf("%-*s │ ", width, id)
	if color {
		prefix = fmt.Sprintf("\x1b[%dm%-*s │\x1b[0m ", palette[number%len(palette)], width, id)
	}
	return &lineWriter{prefix: prefix, color: color, emit: emit, same: [][]byte{
		fmt.Appendf(nil, `,"service.node.name":%q`, id), fmt.Appendf(nil, `,"service.name":%q`, service),
	}}
}

// Write takes any piece of output.
func (l *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			break
		}
		if len(l.rest) > 0 {
			l.line(append(l.rest, p[:i]...))
			l.rest = l.rest[:0]
		} else {
			l.line(p[:i])
		}
		p = p[i+1:]
	}
	l.rest = append(l.rest, p...)
	if len(l.rest) > maxLine {
		l.flush()
	}
	return n, nil
}

// flush hands on what came after the last newline.
func (l *lineWriter) flush() {
	if len(l.rest) > 0 {
		l.line(l.rest)
		l.rest = l.rest[:0]
	}
}

// line renders one line. JSON of ours becomes text; anything else, such as the
// trace of a panic, stays as it is.
func (l *lineWriter) line(raw []byte) {
	var routine time.Time
	if len(raw) > 0 && raw[0] == '{' {
		if bytes.Contains(raw, infoLevel) || bytes.Contains(raw, debugLevel) {
			routine = timeOf(raw)
		}
		short := raw
		for _, s := range l.same {
			short = bytes.ReplaceAll(short, s, nil)
		}
		raw = short
	}
	out := logs.Pretty([]byte(l.prefix), raw, l.color)
	// A rendered line may have lines of its own, such as those of a stack.
	out = bytes.ReplaceAll(out[:len(out)-1], []byte("\n"), []byte("\n"+l.prefix))
	l.emit(append(out, '\n'), routine)
}
