package edge

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// guard watches a request for a client that sends too slowly or does not read. Who
// reads or writes notes until when that may take; one timer looks at the notes from
// time to time, so that long streams cost a timer and no deadline has to be set for
// each message.
type guard struct {
	x        *exchange
	reading  atomic.Int64 // until when, in the exchange's time; 0: nobody reads
	writing  atomic.Int64
	slowRead atomic.Bool

	mu    sync.Mutex
	timer *time.Timer
	tick  time.Duration
	over  bool // the request has ended: its writer must not be touched
}

// start begins the watch.
func (g *guard) start(x *exchange) {
	g.x = x
	g.tick = max(min(x.edge.cfg.ReadTimeout, x.edge.cfg.WriteTimeout)/4, time.Millisecond)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(g.tick, g.look)
}

// stop ends the watch and waits for it.
func (g *guard) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.over = true
	g.timer.Stop()
}

func (g *guard) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return
	}
	now := g.x.now()
	if until := g.reading.Load(); until != 0 && now > until && !g.slowRead.Swap(true) {
		g.x.edge.metrics.refused(refusedSlowRead)
		_ = http.NewResponseController(g.x.w).SetReadDeadline(past) // a writer without deadlines is a test's
	}
	if until := g.writing.Load(); until != 0 && now > until {
		g.x.edge.metrics.refused(refusedSlowWrite)
		_ = http.NewResponseController(g.x.w).SetWriteDeadline(past) // as above
		g.writing.Store(0)
	}
	g.timer.Reset(g.tick)
}

// cutRead ends a read under way.
func (g *guard) cutRead() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		_ = http.NewResponseController(g.x.w).SetReadDeadline(past) // as above
	}
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)
