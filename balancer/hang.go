package balancer

import "time"

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
)

// watch looks for instances that hang and reports whether a factor changed. A policy whose own goroutine was held up believes no age.
func (p *lb) watch(list []*instance, now time.Duration, lagging bool) (changed bool) {
	if lagging {
		return false
	}
	stuck, silent, usable := p.stuck(list, now), 0, 0
	for _, i := range list {
		if i.ready.Load() > 0 {
			usable++
		}
		if i.silent(now) {
			silent++
		}
	}
	if 2*len(stuck) <= usable {
		for _, i := range stuck {
			i.mu.Lock()
			i.unanswered.suspect = true
			i.mu.Unlock()
			p.eject(i, now)
		}
	}
	for _, i := range list {
		changed = p.suspect(i, now, 2*silent <= usable) || changed
	}
	return changed
}

// silent tells whether something was sent long ago and nothing was heard since.
func (i *instance) silent(now time.Duration) bool {
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

// suspect looks into a silence: the instance gets fewer calls at once, unless its siblings are silent too, and is asked over its own
// connection whether it lives. It reports whether the factor changed.
func (p *lb) suspect(i *instance, now time.Duration, thin bool) (changed bool) {
	i.mu.Lock()
	silent := i.silentLocked(now) && !i.open()
	changed = i.factors.suspect != (silent && thin)
	i.factors.suspect = silent && thin
	ask := silent && !i.life.probing && (i.unanswered.checkedAt == 0 || now-i.unanswered.checkedAt >= suspectAgainAfter)
	if ask {
		i.life.probing = true
		i.unanswered.checkedAt = now
	}
	i.mu.Unlock()
	if !ask {
		return changed
	}
	asked := p.probe(i, suspectTimeout, func(r probeResult) { p.answered(i, now, r) })
	if !asked {
		i.mu.Lock()
		i.life.probing = false
		i.mu.Unlock()
	}
	return changed
}

// answered acts on the health check of a suspect.
func (p *lb) answered(i *instance, askedAt time.Duration, r probeResult) {
	now := p.now()
	i.mu.Lock()
	i.life.probing = false
	heard := i.unanswered.heardAt >= askedAt || i.unanswered.since == 0
	switch {
	case r.answered():
		i.unanswered = silence{heardAt: i.unanswered.heardAt, checkedAt: i.unanswered.checkedAt}
	case r == probeUnanswered && !heard && !i.open():
		i.unanswered.suspect = true
	}
	hangs := i.unanswered.suspect
	i.mu.Unlock()
	if hangs {
		p.eject(i, now)
	}
}

// stuck are the instances that have answered no call since two of those in flight, by now much too old, began.
func (p *lb) stuck(list []*instance, now time.Duration) []*instance {
	var found []*instance
	for _, i := range list {
		if i.open() || i.ready.Load() == 0 {
			continue
		}
		i.mu.Lock()
		n := 0
		for f := i.calls.first; f != nil && n < stuckCalls && now-f.start >= stuckLeast; f = f.next {
			if f.start >= i.unanswered.heardAt && f.method.known() && now-f.start >= max(stuckTimes*f.method.usual(), stuckTails*f.method.slowest()) {
				n++
			}
		}
		i.mu.Unlock()
		if n >= stuckCalls {
			found = append(found, i)
		}
	}
	return found
}
