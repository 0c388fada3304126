package rest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// errLineTooLong is what a line is that has more bytes than a request may have.
var errLineTooLong = errors.New("the line is too long")

// lineReader reads newline-delimited JSON: one value per line, blank lines
// ignored. The last line needs no newline.
type lineReader struct {
	r      *bufio.Reader
	limit  int64
	number int // of the line that was returned last, from 1
	line   []byte
}

func newLineReader(r io.Reader, limit int64) *lineReader {
	const buffer = 64 << 10
	return &lineReader{r: bufio.NewReaderSize(r, buffer), limit: limit}
}

// next returns the next line that is not blank; it is valid until the next call.
// io.EOF: there is none. A body that broke off is an error even after a whole
// line: whoever sent it may have meant more.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.read()
		if text := bytes.TrimSpace(line); len(text) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return text, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (l *lineReader) read() ([]byte, error) {
	l.line = l.line[:0]
	l.number++
	for {
		part, err := l.r.ReadSlice('\n')
		if int64(len(l.line)+len(part)) > l.limit+1 { // the newline is not of the line
			return nil, errLineTooLong
		}
		l.line = append(l.line, part...)
		if l.number == 1 {
			l.line = withoutMark(l.line)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.line, err
		}
	}
}

// withoutMark drops the byte order mark with which editors of Windows begin files
// (RFC 8259, 8.1, permits to ignore it).
func withoutMark(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF")) }
