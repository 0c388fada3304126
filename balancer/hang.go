package balancer

import (
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
)

const (
	suspectAfterTimes = 4
	suspectAfterLeast = 300 * time.Millisecond
	suspectAfterMost  = 800 * time.Millisecond
	suspectAgainAfter = time.Second
	suspectShare      = 0.1

	// An instance that answers health checks and no calls hangs when so many calls are so many times older than usual.
	stuckCalls = 2
	stuckTimes = 8
	stuckTails = 3
	stuckLeast = time.Second
	// Or when so many were given up in a row, each after longer than nearly all calls of its method take. Hedges do that: the instance then
	// has no old calls.
	muteCalls = 5
)

// mute counts the unary calls in a row that were given up unanswered, though they had time enough. Guarded by the instance's lock.
type mute struct {
	calls int
	since time.Duration // start of the first
}

// hear notes the end of a call. heardAt is when one was answered last: of those that began before, it says nothing that they were given up.
func (m *mute) hear(f *flight, now, heardAt time.Duration, info balancer.DoneInfo, code codes.Code) {
	switch {
	case !f.method.unary || !info.BytesSent:
	case code != codes.Canceled && code != codes.DeadlineExceeded:
		*m = mute{}
	case f.start < heardAt:
	case f.method.known() && now-f.start >= max(fairTimes*f.method.usual(), f.method.slowest()):
		if m.calls++; m.calls == 1 {
			m.since = f.start
		}
	}
}

// watch looks for instances that hang and reports whether a factor changed. A policy whose own goroutine was held up believes no age.
func (p *lb) watch(list []*instance, now time.Duration, lagging bool) (changed bool) {
	if lagging {
		return false
	}
	silent, usable := 0, 0
	for _, i := range list {
		if i.ready.Load() > 0 {
			usable++
		}
		if i.silent(now) {
			silent++
		}
	}
	for _, i := range list {
		if !i.sent.Load() {
			continue
		}
		if since, stuck := i.stuck(now); stuck && answering(list, i, now-(now-since)/2) {
			i.mu.Lock()
			i.unanswered.suspect = true
			i.mu.Unlock()
			p.eject(i, now)
		}
		changed = p.suspect(i, now, 2*silent <= usable) || changed
	}
	return changed
}

// silent tells whether something was sent long ago and nothing was heard since.
func (i *instance) silent(now time.Duration) bool {
	if !i.sent.Load() {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.silentLocked(now)
}

func (i *instance) silentLocked(now time.Duration) bool {
	u := &i.unanswered
	if u.since == 0 || i.calls.first == nil && u.lost == 0 {
		return false
	}
	return now-u.since >= min(max(suspectAfterTimes*u.usual, suspectAfterLeast), suspectAfterMost)
}

// suspect looks into a silence: the instance is asked over its own connection whether it lives, and gets fewer calls until it answers,
// unless its siblings are silent too. It reports whether the factor changed.
func (p *lb) suspect(i *instance, now time.Duration, thin bool) (changed bool) {
	i.mu.Lock()
	ask := !i.life.probing && !i.open() && i.silentLocked(now) &&
		(i.unanswered.checkedAt == 0 || now-i.unanswered.checkedAt >= suspectAgainAfter)
	if ask {
		i.life.probing = true
		i.unanswered.checkedAt = now
	}
	i.mu.Unlock()
	if !ask {
		return false
	}
	asked := p.probe(i, suspectTimeout, func(r probeResult) { p.answered(i, now, r) })
	i.mu.Lock()
	defer i.mu.Unlock()
	if !asked {
		i.life.probing = false
	}
	// A stream that is quiet is no sign of anything; and it may have answered already.
	i.factors.suspect = thin && i.unanswered.unary && i.life.probing
	return i.publish()
}

// answered acts on the health check of a suspect.
func (p *lb) answered(i *instance, askedAt time.Duration, r probeResult) {
	now := p.now()
	i.mu.Lock()
	i.life.probing, i.factors.suspect = false, false
	i.publish()
	heard := i.unanswered.heardAt >= askedAt || i.unanswered.since == 0
	switch {
	case r.answered():
		i.unanswered = silence{heardAt: i.unanswered.heardAt, checkedAt: now}
	case r == probeUnanswered && !heard && !i.open():
		i.unanswered.suspect = true
	}
	hangs := i.unanswered.suspect
	i.mu.Unlock()
	if hangs {
		p.eject(i, now)
	}
}

// stuck tells whether the instance has answered no call since the first of many that were given up began, or the second of those in
// flight that are by now much too old, and when that was.
func (i *instance) stuck(now time.Duration) (since time.Duration, stuck bool) {
	if i.open() || i.ready.Load() == 0 {
		return 0, false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	most := muteCalls
	if !i.closed() {
		most = halfOpenCalls
	}
	if m := i.mute; m.calls >= most && now-m.since >= stuckLeast {
		return m.since, true
	}
	n := 0
	for f := i.calls.first; f != nil && now-f.start >= stuckLeast; f = f.next {
		if f.start < i.unanswered.heardAt || !f.method.known() || now-f.start < max(stuckTimes*f.method.usual(), stuckTails*f.method.slowest()) {
			continue
		}
		if n++; n == stuckCalls {
			return f.start, true
		}
	}
	return 0, false
}

// answering tells whether half of the siblings that are usable have answered calls that began since: what hangs is then not what they
// share.
func answering(list []*instance, but *instance, since time.Duration) bool {
	usable, heard := 0, 0
	for _, i := range list {
		if i == but || i.ready.Load() == 0 || i.open() {
			continue
		}
		usable++
		i.mu.Lock()
		if i.freshest >= since {
			heard++
		}
		i.mu.Unlock()
	}
	return usable > 0 && 2*heard >= usable
}
