package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"
)

// Style decides how lines look on w, for [SinkConfig]: format is json, pretty,
// or auto (also when empty), which is pretty when w is a terminal. Colours are
// for terminals, unless NO_COLOR is set (no-color.org) or TERM is dumb.
func Style(format string, w io.Writer) (pretty, color bool, err error) {
	terminal := false
	if f, ok := w.(*os.File); ok {
		terminal = term.IsTerminal(int(f.Fd())) //nolint:gosec // descriptors are small
	}
	color = terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	switch format {
	case "json":
		return false, false, nil
	case "pretty":
		return true, color, nil
	case "auto", "":
		return terminal, color && terminal, nil
	}
	return false, false, fmt.Errorf("log format is %q; valid are auto, json and pretty", format)
}

// Pretty appends one JSON line of ours to dst as text for people: aligned,
// with readable durations, and without what repeats itself. Times stay in UTC.
// Characters that would steer a terminal are escaped. A line that is not a JSON
// object is appended as it is, but for these characters. It ends in a newline.
func Pretty(dst, line []byte, color bool) []byte {
	line = bytes.TrimRight(line, "\r\n")
	l, ok := parseLine(line)
	if !ok {
		return append(appendSafe(dst, string(line)), '\n')
	}
	p := printer{buf: dst, color: color}
	p.line(l)
	return append(p.buf, '\n')
}

// parsed is a line taken apart: the fields that have a column of their own, and
// the rest in order.
type parsed struct {
	known map[string]string
	rest  [][2]string
}

// columns are fields with a place of their own, or left out because they say
// the same on every line.
var columns = map[string]bool{
	keyTime: true, keyLevel: true, keyMessage: true, keyNode: true, keyService: true, keyAction: true,
	keyDuration: true, keyCode: true, keyRPCService: true, keyRPCMethod: true,
	keyECS: true, keyVersion: true, keyEnvironment: true, keyOutcome: true, keyRPCType: true, keyStatus: true,
}

// shortNames are what people read instead of the schema's names.
var shortNames = map[string]string{
	"client.address": "from", "client.port": "", "server.address": "at", "server.port": "",
	keyCorrelation: "corr", keyTrace: "trace", keySpan: "", keyTarget: "target", keyLeft: "left",
	keyAttempts: "attempts", keyReceived: "in", keySent: "out", keyErrorType: "reason", keyError: "error",
	keyTimeout: "timeout", keySource: "set by", keyDropped: "dropped",
}

func parseLine(line []byte) (parsed, bool) {
	l := parsed{known: map[string]string{}}
	if len(line) == 0 || line[0] != '{' {
		return l, false
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return l, false
	}
	for d.More() {
		key, err := d.Token()
		var raw json.RawMessage
		if err != nil || d.Decode(&raw) != nil {
			return l, false
		}
		name, value := fmt.Sprint(key), text(raw)
		if columns[name] {
			l.known[name] = value
		} else {
			l.rest = append(l.rest, [2]string{name, value})
		}
	}
	_, err := d.Token()
	return l, err == nil
}

// text is a JSON value as people write it: strings without quotes.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// The colours of ANSI terminals.
const (
	dim    = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

type printer struct {
	buf   []byte
	color bool
}

// paint appends a text padded to a width, in a colour.
func (p *printer) paint(color, s string, width int) {
	if p.color && color != "" {
		p.buf = append(p.buf, color...)
	}
	p.buf = appendSafe(p.buf, s)
	if p.color && color != "" {
		p.buf = append(p.buf, reset...)
	}
	for range width - utf8.RuneCountInString(s) {
		p.buf = append(p.buf, ' ')
	}
}

func (p *printer) line(l parsed) {
	clock := l.known[keyTime]
	if len(clock) >= len("2006-01-02T15:04:05.000") {
		clock = clock[11:23]
	}
	p.paint(dim, clock, 13)
	level := l.known[keyLevel]
	p.paint(levelColor(level), strings.ToUpper(level), 6)
	who := l.known[keyNode]
	if who == "" {
		who = l.known[keyService]
	}
	if who != "" {
		p.paint(dim, who, 10)
		p.buf = append(p.buf, ' ')
	}
	if l.known[keyAction] == actionServer || l.known[keyAction] == actionClient {
		p.call(l, levelColor(level))
	} else {
		p.message(l)
	}
	p.pairs(l.rest)
}

func levelColor(level string) string {
	switch level {
	case "error":
		return red
	case "warn":
		return yellow
	case "info":
		return green
	default:
		return dim
	}
}

// call prints the columns of a call's line.
func (p *printer) call(l parsed, color string) {
	service := l.known[keyRPCService]
	name := service[strings.LastIndexByte(service, '.')+1:] + "/" + l.known[keyRPCMethod]
	if l.known[keyAction] == actionClient {
		name = "→ " + name
	}
	p.paint("", name, 32)
	p.buf = append(p.buf, ' ')
	p.paint(color, l.known[keyCode], 19)
	p.paint("", duration(l.known[keyDuration]), 9)
}

func (p *printer) message(l parsed) {
	p.paint("", l.known[keyMessage], 0)
	if m := l.known[keyRPCMethod]; m != "" {
		p.pair("in", m)
	}
}

// pairs prints the other fields; texts of several lines, such as stacks, come
// last and indented.
func (p *printer) pairs(rest [][2]string) {
	var long []string
	for i, f := range rest {
		name, known := shortNames[f[0]]
		switch {
		case known && name == "":
			continue
		case !known:
			name = f[0]
		}
		value := f[1]
		switch f[0] {
		case keyLeft, keyTimeout, "duration", "next_probe", "pause", "for": // slog writes a time.Duration in nanoseconds
			value = duration(value)
		case "client.address", "server.address":
			if i+1 < len(rest) && strings.HasSuffix(rest[i+1][0], ".port") {
				value += ":" + rest[i+1][1]
			}
		}
		if strings.Contains(value, "\n") {
			long = append(long, name+":\n"+value)
			continue
		}
		p.pair(name, value)
	}
	for _, text := range long {
		for line := range strings.Lines(text) {
			p.buf = appendSafe(append(p.buf, "\n    "...), strings.ReplaceAll(strings.TrimRight(line, "\n"), "\t", "  "))
		}
	}
}

func (p *printer) pair(name, value string) {
	p.buf = append(p.buf, ' ')
	p.paint(dim, name+"=", 0)
	if value == "" || strings.ContainsAny(value, " =") && value[0] != '{' && value[0] != '[' {
		value = `"` + value + `"`
	}
	p.paint("", value, 0)
}

// duration makes nanoseconds readable, with three digits that matter.
func duration(ns string) string {
	n, err := strconv.ParseInt(ns, 10, 64)
	if err != nil {
		return ns
	}
	d := time.Duration(n)
	digits := time.Nanosecond
	for d.Abs()/digits >= 1000 {
		digits *= 10
	}
	return d.Round(digits).String()
}

// appendSafe appends a text without the characters that steer terminals.
func appendSafe(dst []byte, s string) []byte {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			q := strconv.QuoteRuneToASCII(r)
			dst = append(dst, q[1:len(q)-1]...)
			continue
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
