package call

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// longStream is when a stream is long enough for a bar.
	longStream = time.Second
	redraw     = 150 * time.Millisecond
	barWidth   = 24
)

// progress counts a stream's messages and, on a terminal, shows how it goes.
type progress struct {
	sent, received atomic.Int64
	read           atomic.Int64 // bytes of the input
	total          int64        // bytes of the input; 0: not known
	begun          time.Time

	w     io.Writer // nil: no bar
	mu    sync.Mutex
	shown bool
	ever  bool
	quit  chan struct{}
	done  chan struct{}
}

// newProgress counts; with a writer it also shows a bar until it is stopped.
func newProgress(w io.Writer, total int64) *progress {
	p := &progress{w: w, total: total, begun: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	if w == nil {
		close(p.done)
		return p
	}
	go p.run()
	return p
}

func (p *progress) run() {
	defer close(p.done)
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			if since := time.Since(p.begun); since >= longStream {
				p.draw(since)
			}
		}
	}
}

func (p *progress) draw(since time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shown, p.ever = true, true
	fmt.Fprint(p.w, eraseLine+p.line(since))
}

const eraseLine = "\r\x1b[K"

// erase removes the bar, so that something can be written in its place.
func (p *progress) erase() {
	if p.w == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		p.shown = false
		fmt.Fprint(p.w, eraseLine)
	}
}

// line is the bar at a moment.
func (p *progress) line(since time.Duration) string {
	sent, received := p.sent.Load(), p.received.Load()
	rate := float64(max(sent, received)) / since.Seconds()
	text := fmt.Sprintf("sent %s  received %s  %s/s  %s", thousands(sent), thousands(received), thousands(int64(rate)), since.Round(time.Second))
	if p.total <= 0 {
		return text
	}
	share := min(float64(p.read.Load())/float64(p.total), 1)
	full := int(share * barWidth)
	return fmt.Sprintf("%s%s %3.0f%%  %s", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), share*100, text)
}

// stop removes the bar and, if there was one, says how it ended.
func (p *progress) stop() {
	close(p.quit)
	<-p.done
	p.erase()
	if p.ever {
		since := time.Since(p.begun)
		fmt.Fprintf(p.w, "sent %s, received %s in %.1fs (%s/s)\n", thousands(p.sent.Load()), thousands(p.received.Load()), since.Seconds(),
			thousands(int64(float64(max(p.sent.Load(), p.received.Load()))/since.Seconds())))
	}
}

// thousands writes a number with commas.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
