package up

import (
	"io"
	"sync"
	"time"
)

const (
	// queueLimit is how many bytes wait for a slow terminal before the
	// instances' lines wait too; their own sinks then drop and count.
	queueLimit = 1 << 20
	// heldLimit is how many bytes of log are kept until the table is shown.
	heldLimit = 1 << 20
	// flushLimit bounds how long the end waits for a terminal that is stopped.
	flushLimit = time.Second
)

// output is the one writer to the terminal. Lines are written whole, by one
// goroutine, so that a terminal that is stopped never holds up the supervision.
// A status line, on a terminal, stays below everything else.
type output struct {
	w        io.Writer
	terminal bool
	broken   func(error) // the reader went away
	columns  func() int  // width of the terminal; nil: not known

	mu     sync.Mutex
	wake   *sync.Cond
	queue  []byte
	held   []heldLine
	size   int // of held
	hold   bool
	ready  time.Time // when the start succeeded
	status string
	dirty  bool // the status has changed
	closed bool
	done   chan struct{}
}

func newOutput(w io.Writer, terminal bool, broken func(error)) *output {
	o := &output{w: w, terminal: terminal, broken: broken, hold: true, done: make(chan struct{})}
	o.wake = sync.NewCond(&o.mu)
	go o.run()
	return o
}

// note writes text of up itself. It never waits.
func (o *output) note(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(append(o.queue, text...), '\n')
	o.wake.Broadcast()
}

// heldLine is a line that waits for the table.
type heldLine struct {
	text    []byte
	routine bool
}

// line writes a line of an instance, which ends in a newline, and waits when
// the terminal is too slow. A routine line tells of nothing that went wrong and
// has a time; those of a start that succeeded are left out: the table says the
// same, and should not be pushed off the screen.
func (o *output) line(text []byte, routine time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !routine.IsZero() && routine.Before(o.ready) {
		return // it was on its way when the table was shown
	}
	if o.hold {
		for o.size += len(text); o.size > heldLimit && len(o.held) > 0; o.held = o.held[1:] {
			o.size -= len(o.held[0].text)
		}
		o.held = append(o.held, heldLine{text, !routine.IsZero()})
		return
	}
	for len(o.queue) > queueLimit && !o.closed {
		o.wake.Wait()
	}
	o.queue = append(o.queue, text...)
	o.wake.Broadcast()
}

// release shows the instances' lines from now on, those held back first; see
// line for what is left out.
func (o *output) release(succeeded bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hold = false
	if succeeded {
		o.ready = time.Now()
	}
	for _, l := range o.held {
		if !succeeded || !l.routine {
			o.queue = append(o.queue, l.text...)
		}
	}
	o.held = nil
	o.wake.Broadcast()
}

// show sets the status line; empty removes it.
func (o *output) show(status string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.columns != nil {
		if r, most := []rune(status), o.columns()-1; len(r) > most && most > 0 {
			status = string(r[:most]) // a line that wraps could not be erased
		}
	}
	if o.terminal && status != o.status {
		o.status, o.dirty = status, true
		o.wake.Broadcast()
	}
}

// close writes what is left, within flushLimit.
func (o *output) close() {
	o.show("")
	o.mu.Lock()
	o.closed = true
	o.wake.Broadcast()
	o.mu.Unlock()
	timer := time.NewTimer(flushLimit)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C: // the terminal is stopped; the process ends anyway
	}
}

const eraseLine = "\r\x1b[K"

func (o *output) run() {
	defer close(o.done)
	var shown, failed bool
	for {
		o.mu.Lock()
		for len(o.queue) == 0 && !o.dirty && !o.closed {
			o.wake.Wait()
		}
		text, status, end := o.queue, o.status, o.closed && len(o.queue) == 0 && !o.dirty
		o.queue, o.dirty = nil, false
		o.wake.Broadcast()
		o.mu.Unlock()
		if end {
			return
		}
		if shown {
			text = append([]byte(eraseLine), text...)
		}
		if shown = status != ""; shown {
			text = append(text, status...)
		}
		if failed {
			continue
		}
		if _, err := o.w.Write(text); err != nil {
			failed = true
			o.broken(err)
		}
	}
}
