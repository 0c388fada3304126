package balancer

import (
	"log/slog"
	"time"

	"github.com/keelson-dev/keelson/target"
)

const (
	tickEvery  = 100 * time.Millisecond
	restAfter  = time.Second            // without anything to watch the goroutine sleeps
	judgeEvery = 200 * time.Millisecond // instances against their siblings
	panicRest  = time.Second            // a panic lasts so long at least
)

// clock is the policy's goroutine's own.
type clock struct {
	judgedAt, busyAt, panicAt time.Duration
	next                      time.Duration // tick
	nextTell                  time.Duration
}

// run is the policy's goroutine. It sleeps without a timer while there is nothing to watch.
func (p *lb) run() {
	defer close(p.stopped)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-p.poked:
		case <-timer.C:
		}
		wait := p.turn()
		if wait == 0 {
			timer.Stop()
			continue
		}
		timer.Reset(wait)
	}
}

// turn does what there is to do and returns how long to wait for more; 0 is until poked.
func (p *lb) turn() time.Duration {
	now := p.now()
	p.asleep.Store(false)
	p.deliver()
	p.notice(now)
	if now >= p.clock.next {
		p.tick(now)
		p.clock.next = now + tickEvery
	}
	pending := p.pub.flush(p, now)
	if p.busy() {
		p.clock.busyAt = now
	}
	if now-p.clock.busyAt < restAfter {
		wait := p.clock.next - now
		if pending > 0 {
			wait = min(wait, pending)
		}
		return max(wait, time.Millisecond)
	}
	p.asleep.Store(true)
	if p.busy() { // since it was looked at
		p.asleep.Store(false)
		return tickEvery
	}
	return pending
}

// instancesNow returns the list in effect, which is replaced and never changed.
func (p *lb) instancesNow() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.list
}

// busy tells whether there is anything to watch.
func (p *lb) busy() bool {
	for _, i := range p.instancesNow() {
		if !i.closed() || i.changed.Load() || i.share.Load() != i.base.Load() {
			return true
		}
		if i.watched() {
			return true
		}
	}
	return false
}

// watched tells whether there are calls to watch.
func (i *instance) watched() bool {
	if !i.sent.Load() {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	waiting := i.calls.first != nil || i.unanswered.since != 0
	i.sent.Store(waiting)
	return waiting
}

// notice acts on what breakers have done since, and on connections that came and went.
func (p *lb) notice(now time.Duration) {
	list := p.instancesNow()
	for _, i := range list {
		if i.changed.Swap(false) {
			p.follow(i, now)
		}
	}
	p.panicOrNot(list, now)
}

// follow acts on the state of an instance's breaker.
func (p *lb) follow(i *instance, now time.Duration) {
	i.mu.Lock()
	state := target.BreakerState(i.state.Load())
	was := i.life.noticed
	if state == was {
		i.mu.Unlock()
		return
	}
	i.life.noticed = state
	i.factors.recovery = rampFrom
	if state == target.BreakerOpen {
		i.opened(now, was)
	} else {
		i.life.closedAt, i.life.ramping = now, true
		i.score = score{fadedAt: now} // what it did before it went out is no evidence any more
		i.factors.fit, i.factors.slow, i.factors.failing = 1, false, false
	}
	i.publish()
	l := i.life
	i.mu.Unlock()
	// The lock is not held while somebody writes a log.
	if state == target.BreakerOpen {
		p.observer.Load().ejections[l.why].Inc()
		p.log(slog.LevelWarn, "an instance is out: it gets no calls until a health check is answered", i,
			slog.String("reason", string(l.why)), slog.Int("times", l.openings), slog.Duration("next_probe", l.nextProbe-now))
		return
	}
	p.log(slog.LevelInfo, "an instance is back: its share grows again", i, l.out())
}

// opened accounts for an instance that went out. The caller holds the instance's lock.
func (i *instance) opened(now time.Duration, was target.BreakerState) {
	l := &i.life
	if was == target.BreakerClosed {
		l.ejectedAt = time.Now()
		if now-l.closedAt > openForgottenIn {
			l.openings = 0
		}
	}
	l.why = reasonFailures
	if i.unanswered.suspect {
		l.why = reasonHang
	}
	l.openings++
	l.nextProbe = now + openTime(l.openings)
	l.goodProbes, l.ramping = 0, false
	i.factors.suspect, i.unanswered, i.mute = false, silence{heardAt: now}, mute{}
	i.forgive()
}

// out is how long the instance has been out.
func (l life) out() slog.Attr {
	return slog.Duration("duration", time.Since(l.ejectedAt).Round(time.Millisecond))
}

func (p *lb) log(level slog.Level, msg string, i *instance, attrs ...slog.Attr) {
	i.mu.Lock()
	name := i.info.String()
	i.mu.Unlock()
	attrs = append(attrs, slog.String("instance", name))
	p.observer.Load().log.LogAttrs(p.ctx, level, msg, attrs...)
}

// panicOrNot decides whether all instances are used, and tells the wrapped policy who is out.
func (p *lb) panicOrNot(list []*instance, now time.Duration) {
	p.mu.Lock()
	threshold, eager := defaultPanic, true
	if p.cfg != nil {
		threshold, eager = p.cfg.PanicThreshold, p.cfg.spreads()
	}
	p.mu.Unlock()
	out, ejected := 0, 0
	for _, i := range list {
		open := i.open()
		if open {
			ejected++
		}
		// A policy that connects as calls come has instances that nobody has asked yet.
		if open || i.ready.Load() == 0 && (eager || i.broken.Load()) {
			out++
		}
	}
	obs := p.observer.Load()
	obs.ejected.set(ejected)
	panicking := ejected > 0 && (float64(out) > threshold*float64(len(list)) || out == len(list))
	was := p.panicking.Load()
	if was && !panicking && now-p.clock.panicAt < panicRest {
		panicking = true
	}
	if panicking != was {
		p.panicking.Store(panicking)
		p.clock.panicAt = now
		p.changedPanic(obs, panicking, out, len(list))
	}
	p.tellChild(panicking)
}

func (p *lb) changedPanic(obs *observer, panicking bool, out, known int) {
	n, level, msg := 0, slog.LevelInfo, "enough instances are well: those that are out get no calls again"
	if panicking {
		n, level, msg = 1, slog.LevelWarn, "too many instances are out: all of them are used"
	}
	obs.panicking.set(n)
	obs.log.LogAttrs(p.ctx, level, msg, slog.Int("out", out), slog.Int("known", known))
	p.mu.Lock()
	p.refill()
	p.mu.Unlock()
}

// tellChild tells the wrapped policy which instances are out, one at a turn of the clock, since each may cost a picker; in a panic none is,
// and that is told at once.
func (p *lb) tellChild(panicking bool) {
	p.mu.Lock()
	var due []*subConn
	for _, s := range p.subs {
		if out := s.inst.open() && !panicking; out != s.told.Load() {
			due = append(due, s)
		}
	}
	p.mu.Unlock()
	if len(due) == 0 {
		return
	}
	if !panicking {
		if p.now() < p.clock.nextTell {
			p.clock.busyAt = p.now()
			return
		}
		p.clock.nextTell = p.now() + tickEvery
		due = due[:1]
	}
	for _, s := range due {
		p.down.Lock()
		s.tell(!panicking && s.inst.open())
		p.down.Unlock()
	}
}
