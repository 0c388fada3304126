package balancer

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/keelson-dev/keelson/target"
)

const (
	rampFrom = 0.1 // the share of an instance that has just come back
	rampTime = 10 * time.Second
	// A half-open instance that no unary call comes to is closed after so many good probes, this long apart.
	halfOpenProbes = 3
	halfOpenEvery  = 2 * time.Second
	// reconnectJitter spreads the probes of many clients whose instance has come back.
	reconnectJitter = 200 * time.Millisecond
)

// tick looks at every instance.
func (p *lb) tick(now time.Duration) {
	list := p.instancesNow()
	lagging := now-p.clock.next > 5*tickEvery && p.clock.next != 0 && now-p.clock.busyAt < restAfter
	changed := p.watch(list, now, lagging)
	for _, i := range list {
		p.recover(i, now)
	}
	judge := now-p.clock.judgedAt >= judgeEvery
	if judge {
		p.clock.judgedAt = now
		compare(list, now)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if judge {
		p.weigh()
		for _, i := range list {
			i.mu.Lock()
			i.ramp(now)
			changed = i.publish() || changed
			i.mu.Unlock()
		}
	}
	if changed {
		p.refill()
	}
}

// ramp lets the share of an instance that is back grow. The caller holds the instance's lock.
func (i *instance) ramp(now time.Duration) {
	if i.life.ramping {
		i.factors.recovery = i.recovery(now)
		i.life.ramping = i.factors.recovery < 1
	}
}

// recovery is what part of its share the instance has got back. The caller holds the instance's lock.
func (i *instance) recovery(now time.Duration) float64 {
	if !i.life.ramping {
		return i.factors.recovery
	}
	part := (now - i.life.closedAt).Seconds() / rampTime.Seconds()
	return min(1, rampFrom+(1-rampFrom)*part)
}

// recover probes an instance that is out when it is time to, and one that waits half-open for calls which do not come.
func (p *lb) recover(i *instance, now time.Duration) {
	state := target.BreakerState(i.state.Load())
	i.mu.Lock()
	due := state != target.BreakerClosed && i.life.noticed == state && !i.life.probing && now >= i.life.nextProbe
	if due {
		i.life.probing = true
	}
	i.mu.Unlock()
	if !due {
		return
	}
	if !p.probe(i, probeTimeout, func(r probeResult) { p.probed(i, state, r) }) {
		i.mu.Lock()
		i.life.probing = false
		i.life.nextProbe = now // as soon as there is a connection
		i.mu.Unlock()
	}
}

// probed acts on the health check of an instance that was out, or half-open.
func (p *lb) probed(i *instance, was target.BreakerState, r probeResult) {
	now := p.now()
	i.mu.Lock()
	i.life.probing = false
	answers := false
	if target.BreakerState(i.state.Load()) == was {
		answers = i.probed(was, r == probeGood, now)
	}
	l := i.life
	i.mu.Unlock()
	if answers {
		p.log(slog.LevelInfo, "an instance answers again: a few calls go to it", i, l.out())
	}
}

// probed moves the instance on, and reports whether it is half-open from now on. The caller holds the instance's lock.
func (i *instance) probed(was target.BreakerState, good bool, now time.Duration) bool {
	l := &i.life
	switch {
	case !good && was == target.BreakerOpen:
		l.openings++
		l.nextProbe = now + openTime(l.openings)
		return false
	case !good:
		l.goodProbes = 0
	case was == target.BreakerOpen:
		l.goodProbes = 1
		l.noticed = target.BreakerHalfOpen
		i.begin(true, 0)
		i.state.Store(uint32(target.BreakerHalfOpen))
	default:
		if l.goodProbes++; l.goodProbes >= halfOpenProbes {
			i.begin(false, breakerInRow-1) // it has yet to answer a call
			i.state.Store(uint32(target.BreakerClosed))
			i.changed.Store(true)
		}
	}
	l.nextProbe = now + jitter(halfOpenEvery)
	return good && was == target.BreakerOpen
}

// reconnected hears that a connection is up, or not: an instance that is out is asked soon over a new connection, for it may be a new
// process, and the silence of an old one says nothing.
func (i *instance) reconnected(now time.Duration, up bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if up && i.open() {
		i.life.nextProbe = min(i.life.nextProbe, now+rand.N(reconnectJitter))
	}
	if !up {
		i.unanswered, i.mute = silence{heardAt: now}, mute{}
	}
}

// eject takes an instance out.
func (p *lb) eject(i *instance, now time.Duration) {
	i.begin(true, 0) // the old life ends, and with it the outcomes of calls that began in it
	i.state.Store(uint32(target.BreakerOpen))
	p.follow(i, now)
}
