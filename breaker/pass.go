package breaker

import (
	"sync/atomic"
	"time"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// openedWell is how long a stream without a message must be open to be taken
// for one that opened well.
const openedWell = 3 * time.Second

// Pass is one call's way through a breaker. It is zero before [Breaker.Begin],
// belongs to the call, and must not be copied or used again. A zero Pass (of a
// call that has no breaker) may be ended too. Its methods are safe for
// concurrent use.
type Pass struct {
	breaker *Breaker
	phase   *phase
	probe   *probe // of a half-open breaker
	call    *call.Call
	stream  bool
	ended   atomic.Bool
}

func (p *Pass) begin(b *Breaker, ph *phase, c *call.Call) {
	p.breaker, p.phase, p.call, p.stream = b, ph, c, c.Method.Kind != policy.Unary
}

// Answered tells that a message of the other side was received. A stream counts
// as a success from its first one on. It costs one atomic load after that.
func (p *Pass) Answered() {
	if p.stream && !p.ended.Load() {
		p.End(nil)
	}
}

// End tells how the call ended: with nil, or with its error, as gRPC or the
// chassis made it. The record must still be the call's. It counts once; what
// comes later does nothing.
func (p *Pass) End(err error) {
	if p.breaker == nil || p.ended.Swap(true) {
		return
	}
	b, took := p.breaker, time.Since(p.call.Start)
	o := b.judge(p, err, took)
	switch {
	case p.probe != nil:
		b.endProbe(p, o)
	case o == ignored || b.phase.Load() != p.phase: // a state that is over
	case o == success:
		_, _ = p.phase.window.Execute(succeed)
	default:
		_, _ = p.phase.window.Execute(fail)
		if p.phase.tripped.Load() {
			b.trip(p.phase, time.Now())
		}
	}
	if err == nil && !p.stream {
		b.learn(took)
	}
}

// What gobreaker runs in place of the call that has ended already: it counts at
// the end of calls, in this way without a closure for each.
func succeed() (struct{}, error) { return struct{}{}, nil }
func fail() (struct{}, error)    { return struct{}{}, errFailed }

// probe is a call that a half-open breaker let through.
type probe struct {
	done    func(error)
	start   time.Time
	stream  bool
	ended   bool
	yielded bool // made room for another one
}

// expect notes a probe; the caller holds the breaker's mutex.
func (ph *phase) expect(done func(error), c *call.Call, now time.Time) *probe {
	p := &probe{done: done, start: now, stream: c.Method.Kind != policy.Unary}
	ph.probes = append(ph.probes, p)
	return p
}

// sweep looks after probes that take long, since nothing else does: gobreaker
// has no timer, and a stream may be quiet for ever. Each makes room after wait;
// a stream that stays open was opened well. The caller holds the breaker's mutex.
func (ph *phase) sweep(now time.Time, wait time.Duration) {
	keep := ph.probes[:0]
	for _, p := range ph.probes {
		age := now.Sub(p.start)
		switch {
		case p.ended:
			continue
		case p.stream && age >= openedWell:
			p.ended = true
			p.done(nil)
			continue
		case age >= wait && !p.yielded:
			p.yielded = true
			p.done(errIgnored)
		}
		if p.stream || !p.yielded {
			keep = append(keep, p)
		}
	}
	clear(ph.probes[len(keep):])
	ph.probes = keep
}

// room returns how long it takes at most until there is room for a probe.
func (ph *phase) room(now time.Time, wait time.Duration) time.Duration {
	left := time.Duration(0)
	for _, p := range ph.probes {
		if until := wait - now.Sub(p.start); !p.ended && !p.yielded && (left == 0 || until < left) {
			left = until
		}
	}
	return max(left, time.Millisecond)
}

// endProbe tells gobreaker how a probe ended.
func (b *Breaker) endProbe(p *Pass, o outcome) {
	b.mu.Lock()
	var said []change
	if pr := p.probe; b.phase.Load() == p.phase && !pr.ended {
		pr.ended = true
		switch {
		case o == success:
			pr.done(nil)
		case o == failure:
			pr.done(errFailed)
		case !pr.yielded:
			pr.done(errIgnored)
		}
		said = b.follow(said, time.Now())
	}
	b.mu.Unlock()
	b.announce(said)
}
