// Package hedge sends a unary call a second time, to another instance, when the
// first attempt takes longer than calls of its method usually do, and takes the
// answer that comes first. An instance that hangs or stalls then costs its callers
// a few milliseconds instead of their deadline.
//
// Which methods, a policy says ([policy.Effective].Hedge: those declared
// NO_SIDE_EFFECTS, and others that are switched on). When, it may say
// (HedgeDelay); otherwise it is the 95th percentile of the method's own latency
// at the target, 5 ms at least and a third of the deadline at most. As long as too
// few calls were seen for that, it is 100 ms, or a quarter of the deadline if that
// is less.
//
// # What a hedge may cost
//
// Each target has a budget: over the last ten seconds at most one hedge for ten
// calls, and where calls are few three per second. It is not rationed within the
// ten seconds, so that the calls caught by an instance that hangs, a third of all
// for a second or two, are all hedged; and half of it is kept for calls that have
// waited for more than twice the delay, so that a slow minute does not use up what
// they will need. A hedge that the budget forbids is asked for again when the call
// has waited for twice as long. One that would not be answered within the deadline
// is not sent. What
// fails before the delay is not hedged: retries are gRPC's own.
//
// # Whose answer counts
//
// OK wins at once. So does a caller's fault (NOT_FOUND, INVALID_ARGUMENT and so
// on) of a method without side effects; of others it waits for the other attempt,
// whose doing it may be. A failure waits for the other attempt too. The loser is
// cancelled, and the call returns when it has returned: gRPC does so at once. So
// the reply, and what [grpc.Header], [grpc.Trailer] and [grpc.Peer] point at, are
// never written by two attempts, and not after the call; the hedge's own are
// copied when it wins.
//
// The request is read by both attempts at once; interceptors further in run once
// for each. Replies that are neither a proto.Message nor [Opaque] are not
// hedged, and neither are streams. The attempts share the record of the call (package call) in their
// context, by which the balancer avoids the instance that was tried.
//
// The technique is that of The Tail at Scale (Dean and Barroso, CACM 2013); the
// terms are those of gRFC A6, whose hedging grpc-go does not have.
package hedge

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/policy"
)

const (
	// DefaultDelay is how long a first attempt may take as long as the method's
	// latency is not known.
	DefaultDelay = 100 * time.Millisecond
	// MinDelay is how long it may take at least, where no policy says less.
	MinDelay = 5 * time.Millisecond
)

// Hedger sends the hedges of one client. It is safe for concurrent use, starts no
// goroutine that outlives a call, and needs no end.
type Hedger struct {
	counted bool
	metrics vectors
	methods sync.Map // key -> *Method
	budgets sync.Map // target -> *budget
	flights sync.Pool
}

type key struct {
	target string
	method *policy.Method
}

// Option changes how a Hedger behaves.
type Option interface{ apply(*Hedger) }

type optionFunc func(*Hedger)

func (f optionFunc) apply(h *Hedger) { f(h) }

// WithCountedAttempts says that a balancing policy counts attempts in the records
// of calls, as package balancer does: a call that has not been sent yet, for want
// of a ready instance, is then not hedged before it is.
func WithCountedAttempts() Option { return optionFunc(func(h *Hedger) { h.counted = true }) }

// New returns a Hedger whose metrics are registered with r; nil is off. Hedgers
// that share a registerer share the metrics.
func New(r prometheus.Registerer, opts ...Option) *Hedger {
	h := &Hedger{metrics: newVectors(r)}
	for _, o := range opts {
		o.apply(h)
	}
	h.flights.New = func() any { return newFlight() }
	return h
}

// Method is what is known of the calls of one method at one target. It is safe
// for concurrent use.
type Method struct {
	hedger  *Hedger
	policy  *policy.Method
	budget  *budget
	latency latency
	metrics counters
}

// For returns what is known of a method at a target, made when it is first asked
// for. Keep it where both are known.
func (h *Hedger) For(target string, m *policy.Method) *Method {
	k := key{target, m}
	if known, ok := h.methods.Load(k); ok {
		return known.(*Method) //nolint:forcetypeassert // nothing else is stored
	}
	b, _ := h.budgets.LoadOrStore(target, newBudget(time.Now()))
	fresh := &Method{hedger: h, policy: m, budget: b.(*budget), metrics: counters{vectors: h.metrics, target: target, method: m.FullName}} //nolint:forcetypeassert // nothing else is stored
	known, loaded := h.methods.LoadOrStore(k, fresh)
	if !loaded {
		fresh.metrics.show()
		if fresh.hedges() {
			fresh.metrics.waits(fresh.Delay())
		}
	}
	return known.(*Method) //nolint:forcetypeassert // nothing else is stored
}

// Forget drops what is known of a target that is not called any more, and its
// metrics.
func (h *Hedger) Forget(target string) {
	h.methods.Range(func(k, m any) bool {
		if k.(key).target == target { //nolint:forcetypeassert // nothing else is stored
			m.(*Method).metrics.forgotten.Store(true) //nolint:forcetypeassert // nothing else is stored
			h.methods.Delete(k)
		}
		return true
	})
	h.budgets.Delete(target)
	h.metrics.forget(target)
}

// Delay returns how long a first attempt may take before a call is hedged, if it
// has the time: the policy's delay, or the 95th percentile of the latency, or
// [DefaultDelay].
func (m *Method) Delay() time.Duration {
	if d := m.policy.Effective().HedgeDelay; d > 0 {
		return d
	}
	if d := m.latency.slow(); d > 0 {
		return max(d, MinDelay)
	}
	return DefaultDelay
}

// delay returns the delay of a call with so much time left, and whether an answer
// of a second attempt would come in time. A delay that is not the policy's leaves
// the second attempt two thirds of the time, however slow calls were of late.
func (m *Method) delay(left time.Duration, bounded bool) (delay time.Duration, inTime bool) {
	delay = m.Delay()
	if bounded && m.policy.Effective().HedgeDelay <= 0 {
		most := left / 3
		if m.latency.slow() == 0 {
			most = left / 4
		}
		delay = min(delay, most)
	}
	return delay, !bounded || delay+m.latency.usual() < left
}

// hedges tells whether the method's calls are hedged.
func (m *Method) hedges() bool {
	return m.policy.Kind == policy.Unary && m.policy.Effective().Hedge
}

// answered notes how long an attempt took that was answered.
func (m *Method) answered(took time.Duration) {
	if m.latency.add(took) {
		m.metrics.waits(m.Delay())
	}
}
