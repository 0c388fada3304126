package call

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// errOutputClosed is why a call ends whose reader has gone, such as head.
var errOutputClosed = errors.New("nobody reads the output any more")

// printer writes messages as JSON. One goroutine writes, and flushes whenever
// there is nothing more to write at the moment: a message is seen when it
// comes, and a flood of them does not cost a system call each.
type printer struct {
	format protojson.MarshalOptions
	indent bool // one document over several lines, not one line each
	lines  chan []byte
	done   chan struct{}
	free   sync.Pool
}

// newPrinter starts a printer. Before it writes to a terminal it calls erase;
// when writing fails it calls broken, once, and throws the rest away.
func newPrinter(w io.Writer, format protojson.MarshalOptions, indent bool, erase func(), broken func(error)) *printer {
	p := &printer{format: format, indent: indent, lines: make(chan []byte, 256), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.write(bufio.NewWriterSize(&eraser{w, erase}, 64<<10), broken)
	}()
	return p
}

// eraser makes room on the terminal before each write.
type eraser struct {
	io.Writer
	erase func()
}

func (e *eraser) Write(b []byte) (int, error) {
	e.erase()
	return e.Writer.Write(b)
}

func (p *printer) write(w *bufio.Writer, broken func(error)) {
	failed := false
	for line := range p.lines {
		if failed {
			continue
		}
		_, err := w.Write(line)
		p.free.Put(bytes.NewBuffer(line))
		if err == nil && len(p.lines) == 0 {
			err = w.Flush()
		}
		if err != nil {
			failed = true
			broken(err)
		}
	}
	if err := w.Flush(); err != nil && !failed {
		broken(err)
	}
}

// print writes one message. It waits when the reader of the output is slow.
func (p *printer) print(m proto.Message) error {
	raw, err := p.format.Marshal(m)
	if err != nil {
		return err
	}
	b, ok := p.free.Get().(*bytes.Buffer)
	if !ok {
		b = new(bytes.Buffer)
	}
	b.Reset()
	// protojson varies its spaces on purpose; this makes them the same.
	if p.indent {
		err = json.Indent(b, raw, "", "  ")
	} else {
		err = json.Compact(b, raw)
	}
	if err != nil {
		return err
	}
	b.WriteByte('\n')
	p.lines <- b.Bytes()
	return nil
}

// close writes what is left.
func (p *printer) close() {
	close(p.lines)
	<-p.done
}
