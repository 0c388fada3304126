package call

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson/internal/nearest"
)

// maxMessage bounds one message of the input, so that a file that is no NDJSON
// is refused before it fills the memory.
const maxMessage = 64 << 20

// Input is where the requests come from.
type Input struct {
	name  string
	src   *bufio.Reader
	close func() error
	size  int64 // of a file; 0: not known
	read  int64
	line  int // of the last line
	slow  bool
}

// OpenInput opens what the argument names: @file, - for standard input, or the
// text itself.
func OpenInput(arg string, stdin io.Reader) (*Input, error) {
	in := &Input{close: func() error { return nil }}
	switch path, isFile := strings.CutPrefix(arg, "@"); {
	case isFile && path == "":
		return nil, errors.New("@ lacks the name of a file; give @users.ndjson, or - for standard input")
	case isFile:
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("open the input: %w", err)
		}
		in.name, in.src, in.close = path, bufio.NewReaderSize(f, 256<<10), f.Close
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			in.size = info.Size()
		} else {
			in.slow = true // a pipe may wait for ever
		}
	case arg == "-":
		in.name, in.src, in.slow = "standard input", bufio.NewReaderSize(stdin, 64<<10), true
	default:
		in.name, in.src = "argument", bufio.NewReader(strings.NewReader(arg))
	}
	return in, nil
}

// Close closes the file, if there is one.
func (in *Input) Close() error { return in.close() }

// All returns everything as one document.
func (in *Input) All() ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(in.src, maxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", in.name, err)
	}
	if len(raw) > maxMessage {
		return nil, fmt.Errorf("read %s: the message is longer than %d MiB", in.name, maxMessage>>20)
	}
	in.line = 1
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	if len(bytes.TrimSpace(raw)) == 0 {
		return []byte("{}"), nil
	}
	return raw, nil
}

// Next returns the next line that is not blank; io.EOF after the last. The
// slice is good until the next call.
func (in *Input) Next() ([]byte, error) {
	for {
		line, err := in.readLine()
		if len(line) == 0 && err != nil {
			return nil, err
		}
		in.line++
		if in.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		if trimmed := bytes.TrimRight(line, "\r\n\t "); len(bytes.TrimSpace(trimmed)) > 0 {
			return trimmed, nil
		}
	}
}

// readLine returns a line, also the last one without a newline.
func (in *Input) readLine() ([]byte, error) {
	line, err := in.src.ReadSlice('\n')
	in.read += int64(len(line))
	if err == nil || errors.Is(err, io.EOF) {
		return line, err
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("read %s: %w", in.name, err)
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = in.src.ReadSlice('\n')
		in.read += int64(len(line))
		if long = append(long, line...); len(long) > maxMessage {
			return nil, fmt.Errorf("%s:%d: the line is longer than %d MiB; give one JSON message per line", in.name, in.line+1, maxMessage>>20)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", in.name, err)
	}
	return long, err
}

// Decode makes a message of a piece of the input. Its errors name the place.
func (in *Input) Decode(raw []byte, into proto.Message, types types) error {
	err := protojson.UnmarshalOptions{Resolver: types}.Unmarshal(raw, into)
	if err == nil {
		return nil
	}
	return in.explain(raw, err, into.ProtoReflect().Descriptor())
}

var (
	position     = regexp.MustCompile(`\(line (\d+):(\d+)\):?[\s\x{00a0}]*`)
	unknownField = regexp.MustCompile(`unknown field "([^"]+)"`)
)

// explain says file, line, column and what is wrong. protojson counts lines
// within the message, and varies the spaces of its texts.
func (in *Input) explain(raw []byte, err error, message protoreflect.MessageDescriptor) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	text = strings.TrimSpace(strings.TrimPrefix(text, "proto:"))
	line, column := max(in.line, 1), 0
	if at := position.FindStringSubmatch(text); at != nil {
		l, _ := strconv.Atoi(at[1]) // digits, by the expression
		column, _ = strconv.Atoi(at[2])
		line += l - 1
		text = position.ReplaceAllString(text, "")
	} else if strings.Contains(text, "unexpected EOF") || strings.Contains(text, "unexpected end") {
		line += bytes.Count(raw, []byte("\n"))
		column = len(raw) - bytes.LastIndexByte(raw, '\n')
		text = "the JSON ends in the middle; a stream takes one whole message per line"
	}
	if m := unknownField.FindStringSubmatch(text); m != nil {
		if near := nearest.Sort(m[1], fieldNames(message)); len(near) > 0 {
			text += fmt.Sprintf("; %s and what is in it have, nearest first: %s", message.FullName(), strings.Join(near[:min(len(near), 4)], ", "))
		}
	}
	if column == 0 {
		return fmt.Errorf("%s:%d: %s", in.name, line, text)
	}
	return fmt.Errorf("%s:%d:%d: %s", in.name, line, column, text)
}

// fieldNames are the JSON names of the fields of a message and of those in it.
func fieldNames(m protoreflect.MessageDescriptor) []string {
	names, seen := map[string]bool{}, map[protoreflect.FullName]bool{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] || m.IsMapEntry() || wellKnown(m.FullName()) {
			return
		}
		seen[m.FullName()] = true
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			names[f.JSONName()] = true
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	walk(m)
	list := make([]string, 0, len(names))
	for n := range names {
		list = append(list, n)
	}
	return list
}
