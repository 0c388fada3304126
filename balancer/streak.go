package balancer

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// streakProbe is how long nobody else tries a method that is being tried again.
const streakProbe = time.Second

// streak is what is known of a method whose latest calls at an instance have failed, while the instance may answer others well. After as
// many in a row as take a whole instance out, calls of the method go to other instances. There is no health check of a method, so one call
// tries it now and then, after 1 s, 2 s and so on like probes, until one succeeds.
type streak struct {
	failures int           // these three are guarded by the instance's lock
	times    int           // that calls were sent elsewhere
	since    time.Duration // when they were last
	until    atomic.Int64  // then one may try, by the policy's clock
}

// note takes the outcome of a call and reports whether calls of its method go elsewhere from now on. The caller holds the lock.
func (i *instance) note(f *flight, now time.Duration, o outcome) (begins bool) {
	if o == outcomeNothing || o == outcomeGood && len(i.streaks) == 0 {
		return false
	}
	s := i.streaks[f.method]
	if o == outcomeGood {
		delete(i.streaks, f.method)
		if s != nil && s.times > 0 {
			i.avoid()
		}
		return false
	}
	if s == nil {
		s = &streak{}
		i.streaks[f.method] = s
	}
	if s.failures++; s.failures < breakerInRow || f.start < s.since {
		return false
	}
	s.times++
	s.since = now
	s.until.Store(int64(now + openTime(s.times)))
	if s.times == 1 {
		i.avoid()
	}
	return s.times == 1
}

// avoid puts the streaks into effect for the picks to come. The caller holds the lock.
func (i *instance) avoid() {
	var avoided map[*method]*streak
	for m, s := range i.streaks {
		if s.times > 0 {
			if avoided == nil {
				avoided = make(map[*method]*streak)
			}
			avoided[m] = s
		}
	}
	if avoided == nil {
		i.avoided.Store(nil)
		return
	}
	i.avoided.Store(&avoided)
}

// avoids tells whether a call of the method is to go to another instance.
func (i *instance) avoids(m *method) bool {
	avoided := i.avoided.Load()
	if avoided == nil {
		return false
	}
	s := (*avoided)[m]
	if s == nil {
		return false
	}
	now, until := int64(i.policy.now()), s.until.Load()
	return now < until || !s.until.CompareAndSwap(until, now+int64(streakProbe))
}

// forgive forgets the streaks: the instance as a whole is out, or new. The caller holds the lock.
func (i *instance) forgive() {
	clear(i.streaks)
	i.avoided.Store(nil)
}

// tellStreak logs that calls of a method go elsewhere. The caller holds no lock.
func (p *lb) tellStreak(i *instance, m *method) {
	p.log(slog.LevelWarn, "an instance fails one method: calls of it go to others", i, slog.String("method", m.name))
}
