package balancer

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/target"
)

// reason is why an instance was taken out.
type reason string

const (
	reasonFailures reason = "failures"
	reasonHang     reason = "hang"
)

// fullShare lets every pick through; shares are in units of 1/fullShare.
const fullShare = 1 << 16

// instance is what the policy knows of one instance. It belongs to the address and outlives pickers and connections.
//
// The atomics are what a pick reads. What mu guards is written when a call begins and ends, and read and written by the policy's own
// goroutine. The lock is held for a few dozen nanoseconds; nothing of gRPC or gobreaker is called under it.
type instance struct {
	id      uint64 // unique in the policy, from 1
	address string
	policy  *lb

	state   atomic.Uint32 // target.BreakerState
	share   atomic.Uint32 // what part of the picks is let through
	base    atomic.Uint32 // the same of the weight and the zone alone, for a panic
	ready   atomic.Int32  // connections that are up, of an instance that serves
	broken  atomic.Bool   // the latest that was heard is that it could not be connected to, or does not serve
	flights atomic.Int32  // calls on their way, streams included
	sent    atomic.Bool   // a call was sent since the policy's goroutine found nothing to watch here
	breaker atomic.Pointer[breaker]
	traffic atomic.Pointer[target.Traffic] // nil where nobody asks for it
	changed atomic.Bool                    // the breaker changed and the policy has not looked yet
	avoided atomic.Pointer[map[*method]*streak]

	mu         sync.Mutex
	info       target.Instance
	unanswered silence
	mute       mute
	freshest   time.Duration // when the youngest unary call that was answered, and not given up, began
	calls      inFlight
	score      score
	life       life
	factors    factors
	streaks    map[*method]*streak

	unobserve func()
	listed    uint64 // the latest list that it was in; guarded by the policy's lock
}

// life is where the instance stands between ejection and recovery. Guarded by the instance's lock.
type life struct {
	noticed    target.BreakerState // the state that was acted upon
	openings   int                 // in a row
	why        reason
	ejectedAt  time.Time
	nextProbe  time.Duration
	probing    bool
	goodProbes int
	closedAt   time.Duration
	ramping    bool
}

// silence is what was sent to an instance since something was last heard from it. Guarded by the instance's lock.
type silence struct {
	heardAt   time.Duration // last time that a call was answered
	since     time.Duration // start of the first call that got no answer yet; 0: none
	usual     time.Duration // what its method usually takes
	unary     bool          // a unary call is among those sent since then
	lost      int           // those that ended without any answer, and streams: what they receive is not seen here before they end
	checkedAt time.Duration // last time that the silence was looked into
	suspect   bool
}

// hear notes what the end of a call says about the silence; last is whether no other unary call is on its way.
func (u *silence) hear(f *flight, now time.Duration, info balancer.DoneInfo, code codes.Code, last bool) {
	// What a stream received, it may have received long before its client ended it.
	before := !f.method.unary && (code == codes.Canceled || code == codes.DeadlineExceeded)
	switch {
	case info.BytesReceived && !before:
		*u = silence{heardAt: now, checkedAt: u.checkedAt, suspect: u.suspect}
	case !f.method.unary || u.since == 0 || f.start < u.heardAt:
	case info.BytesSent:
		u.lost++
	case last && u.lost == 0:
		u.since, u.unary = 0, false
	}
}

func newInstance(p *lb, id uint64, address string, in target.Instance) *instance {
	i := &instance{id: id, address: address, policy: p, info: in, streaks: make(map[*method]*streak)}
	i.share.Store(fullShare)
	i.base.Store(fullShare)
	i.factors = factors{weight: 1, zone: 1, recovery: 1, fit: 1}
	i.begin(false, 0)
	return i
}

func (i *instance) open() bool { return target.BreakerState(i.state.Load()) == target.BreakerOpen }

func (i *instance) closed() bool { return target.BreakerState(i.state.Load()) == target.BreakerClosed }

// load is how busy the instance is for its weight.
func (i *instance) load() float64 {
	return float64(i.flights.Load()) / float64(max(1, i.base.Load()))
}

// begin starts a new life of the breaker, with so many failures in a row.
func (i *instance) begin(halfOpen bool, row int) {
	b := newBreaker(halfOpen, row, func(s target.BreakerState) {
		i.state.Store(uint32(s))
		i.changed.Store(true)
		i.policy.poke()
	})
	if old := i.breaker.Swap(b); old != nil {
		old.ended.Store(true)
	}
}

// verdict is what a pick may do with an instance, from the best to the worst.
type verdict uint8

const (
	admitted verdict = iota
	thinned          // by its factor
	avoided          // by calls of this method, which fail here
	tried            // by this call
	refused          // by its breaker
	away             // its connection is not ready
	verdicts
)

// String is the value of the label reason.
func (v verdict) String() string {
	return [...]string{"admitted", "factor", "method", "tried", "breaker", "connection"}[v]
}

// admit tells whether a call may go to the instance, as far as that is known without asking gobreaker.
func (i *instance) admit(c *call.Call, m *method, panicking bool) verdict {
	if c != nil && c.Tried(i.id) {
		return tried
	}
	share := i.share.Load()
	switch state := target.BreakerState(i.state.Load()); {
	case panicking:
		share = i.base.Load()
	case state == target.BreakerOpen, state == target.BreakerHalfOpen && !(m.unary && repeatable(c)):
		return refused
	case state == target.BreakerHalfOpen:
		return admitted // gobreaker counts them
	case i.avoids(m):
		return avoided
	}
	if share < fullShare && rand.Uint32()>>16 >= share {
		return thinned
	}
	return admitted
}

// repeatable tells whether a call may be sent again when it fails, so that it may try an instance that has just recovered. A call without
// a record may: nothing is known of it.
func repeatable(c *call.Call) bool {
	if c == nil || c.Method == nil {
		return true
	}
	e := c.Method.Effective()
	return e == nil || e.Hedge || e.RetryAttempts > 1 && c.Method.Retryable()
}

// allow asks the breaker, where it has a say. report is nil where it has none.
func (i *instance) allow(panicking bool) (report func(error), ok bool) {
	if panicking && target.BreakerState(i.state.Load()) == target.BreakerOpen {
		return nil, true
	}
	report, err := i.breaker.Load().two.Allow()
	return report, err == nil || panicking
}

// launch notes that a call was sent.
func (i *instance) launch(f *flight) {
	i.flights.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	u := &i.unanswered
	if f.method.unary {
		i.calls.add(f)
		u.unary = true
	} else {
		u.lost++
	}
	if !i.sent.Load() {
		i.sent.Store(true)
	}
	if u.since == 0 {
		u.since, u.usual = f.start, f.method.usual()
	}
}

// land notes how a call ended, and reports whether calls of its method go elsewhere from now on.
func (i *instance) land(f *flight, now time.Duration, o outcome, code codes.Code, info balancer.DoneInfo) (streak bool) {
	i.flights.Add(-1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if f.method.unary {
		i.calls.remove(f)
	}
	i.unanswered.hear(f, now, info, code, i.calls.first == nil)
	i.mute.hear(f, now, i.unanswered.heardAt, info, code)
	if info.BytesReceived && f.method.unary && code != codes.Canceled && code != codes.DeadlineExceeded {
		i.freshest = max(i.freshest, f.start)
	}
	if o != outcomeNothing {
		i.score.count(o == outcomeBad)
	}
	streak = i.note(f, now, o)
	if !f.method.unary {
		return streak
	}
	x := toLog(now - f.start)
	switch {
	case info.BytesReceived && o == outcomeGood:
		i.score.observe(f.method.observe(x), x)
	case code == codes.Canceled, code == codes.DeadlineExceeded:
		// It would have taken longer than this, which says something only if this is long already.
		if d, known := f.method.against(x); known && d > max(0, i.score.ratio.mean()) {
			i.score.observe(d, x)
		}
	}
	return streak
}

// balance is the instance as /debug/keelson/targets shows it.
func (i *instance) balance() target.Balance {
	i.mu.Lock()
	defer i.mu.Unlock()
	b := target.Balance{
		Breaker: target.BreakerState(i.state.Load()), Factor: float64(i.share.Load()) / fullShare, Why: i.factors.why(),
		InFlight: int(i.flights.Load()), Ejected: string(i.life.why), EjectedAt: i.life.ejectedAt,
	}
	if n := i.score.ratio.weight; n > 0 {
		b.Latency = fromLog(i.score.logs / n)
	}
	switch {
	case i.policy.panicking.Load(): // all are used
		b.Factor = float64(i.base.Load()) / fullShare
		b.Why = factors{weight: i.factors.weight, zone: i.factors.zone, recovery: 1, fit: 1}.why()
	case b.Breaker == target.BreakerOpen:
		b.Factor, b.Why = 0, ""
	}
	return b
}

// factors are what the share of an instance is made of, each in [0,1]. Guarded by the instance's lock.
type factors struct {
	weight, zone, recovery float64
	fit                    float64 // against its siblings
	slow, failing, suspect bool
	step                   time.Duration // since it was compared last
}

func (f factors) base() float64 { return f.weight * f.zone }

func (f factors) share() float64 {
	s := f.base() * f.recovery * f.fit
	if f.suspect {
		s *= suspectShare
	}
	return s
}

func (f factors) why() string {
	var why []string
	for _, w := range []struct {
		holds bool
		word  string
	}{
		{f.weight < 1, "weight"}, {f.zone < 1, "zone"}, {f.recovery < 1, "returning"},
		{f.fit < 1 && f.slow, "latency"}, {f.fit < 1 && f.failing, "errors"}, {f.fit < 1 && !f.slow && !f.failing, "recovery"}, {f.suspect, "suspected"},
	} {
		if w.holds {
			why = append(why, w.word)
		}
	}
	return strings.Join(why, ",")
}

// publish puts the factors into effect for the picks to come, and reports whether that changes anything. The caller holds the lock.
func (i *instance) publish() bool {
	share, base := units(i.factors.share()), units(i.factors.base())
	i.base.Store(base)
	return i.share.Swap(share) != share
}

func units(f float64) uint32 { return uint32(math.Round(max(0, min(1, f)) * fullShare)) }
