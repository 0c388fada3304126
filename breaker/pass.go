package breaker

import (
	"sync/atomic"
	"time"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// openedWell is how long a stream without a message must be open to be taken
// for one that opened well.
const openedWell = 1500 * time.Millisecond

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
	opened  atomic.Int64 // when a stream was, as time since the call's start
	ended   atomic.Bool
}

func (p *Pass) begin(b *Breaker, ph *phase, c *call.Call) {
	p.breaker, p.phase, p.call, p.stream = b, ph, c, c.Method.Kind != policy.Unary
}

// Opened tells that a stream was opened, as far as gRPC can see: an instance was
// found and its connection took it.
func (p *Pass) Opened() {
	if p.stream {
		p.opened.Store(max(int64(time.Since(p.call.Start)), 1))
	}
}

// openFor returns for how long the stream of a pass has been open.
func (p *Pass) openFor(now time.Time) time.Duration {
	opened := p.opened.Load()
	if opened == 0 {
		return 0
	}
	return now.Sub(p.call.Start) - time.Duration(opened)
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
	b, now := p.breaker, time.Now()
	o := b.judge(p, err, now)
	switch {
	case p.probe != nil:
		b.endProbe(p, o, now)
	case o == ignored || b.phase.Load() != p.phase: // a state that is over
	case o == success:
		_, _ = p.phase.window.Execute(succeed)
	default:
		_, _ = p.phase.window.Execute(fail)
		if p.phase.tripped.Load() {
			b.trip(p.phase, now)
		}
	}
	if err == nil && !p.stream {
		b.learn(now.Sub(p.call.Start))
	}
}

// What gobreaker runs in place of the call that has ended already: it counts at
// the end of calls, in this way without a closure for each.
func succeed() (struct{}, error) { return struct{}{}, nil }
func fail() (struct{}, error)    { return struct{}{}, errFailed }

// probe is a call that a half-open breaker let through.
type probe struct {
	pass    *Pass
	done    func(error)
	start   time.Time
	ended   bool
	yielded bool // made room for another one
}

// expect notes a probe; the caller holds the breaker's mutex.
func (ph *phase) expect(p *Pass, done func(error), now time.Time) {
	p.probe = &probe{pass: p, done: done, start: now}
	ph.probes = append(ph.probes, p.probe)
}

// sweep looks after probes that take long, since nothing else does: gobreaker
// has no timer, and a stream may be quiet for ever. Each makes room after wait;
// a stream that stays open was opened well. The caller holds the breaker's mutex.
func (ph *phase) sweep(now time.Time, wait time.Duration) {
	keep := ph.probes[:0]
	for _, p := range ph.probes {
		switch {
		case p.ended:
			continue
		case p.pass.openFor(now) >= openedWell:
			p.ended = true
			p.done(nil)
			continue
		case now.Sub(p.start) >= wait && !p.yielded:
			p.yielded = true
			p.done(errIgnored)
		}
		if p.pass.stream || !p.yielded {
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
func (b *Breaker) endProbe(p *Pass, o outcome, now time.Time) {
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
		said = b.follow(said, now)
	}
	b.mu.Unlock()
	b.announce(said)
}
