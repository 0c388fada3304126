// Package breaker keeps calls from a method that is sick as a whole, at every
// instance of a target: asking it again and again only makes callers wait and
// the sick one sicker. (What is wrong with one instance only, the balancer
// handles.)
//
// There is one breaker for each target and method, over
// github.com/sony/gobreaker. It opens when, of at least 20 calls in the last
// 10 s, half or more failed. An open breaker answers at once with UNAVAILABLE,
// reason CIRCUIT_OPEN, its name and RetryInfo. After a second (growing to three
// as long as it fails, jittered) a few calls are let through; when they end well
// all are, at once.
//
// What counts (after all retries and hedges of a call):
//
//	failure  UNAVAILABLE, INTERNAL, UNKNOWN, DATA_LOSS; DEADLINE_EXCEEDED if the call
//	         had a fair budget: what the method's own policy gives, or else four
//	         times the method's usual latency and 50 ms at least (1 s as long as the
//	         usual latency is not known). A caller in a hurry harms nobody else.
//	nothing  CANCELED, RESOURCE_EXHAUSTED, UNIMPLEMENTED; UNAVAILABLE for the
//	         reasons DRAINING (an instance in good order that goes away), OVERLOADED
//	         (it sheds what is too much, and answers the rest) and CIRCUIT_OPEN (the
//	         breaker of a deeper service, which probes by itself: two breakers one
//	         behind the other would double the time of recovery)
//	success  all else: an answer that a caller does not like is still an answer
//
// A half-open breaker takes CIRCUIT_OPEN, OVERLOADED and RESOURCE_EXHAUSTED from
// the other side as success: whoever says so is up.
//
// A stream counts by how it opens: with its first message received it is a
// success, whatever ends it later (a rolling restart ends all streams of an
// instance at once). One that ends before that counts by its code; never with
// DEADLINE_EXCEEDED, for which a quiet stream is enough, and never after it was
// open for one and a half seconds.
//
// The core is [Breaker.Begin] and [Pass.End]; [Set.UnaryClient] and
// [Set.StreamClient] are it as interceptors. Nothing is allocated for a call
// through a closed breaker.
package breaker

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/keelson-dev/keelson/policy"
)

// Set holds the breakers of one client, one for each target and method. It is
// safe for concurrent use, starts no goroutine and needs no end.
type Set struct {
	cfg     Config
	log     *slog.Logger
	metrics vectors
	all     sync.Map // key -> *Breaker
}

type key struct{ target, method string }

// New returns an empty set. The error names every field of cfg that makes no
// sense.
func New(cfg Config, opts ...Option) (*Set, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure breakers: %w", err)
	}
	var o options
	for _, opt := range opts {
		opt.apply(&o)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	return &Set{cfg: cfg, log: o.log, metrics: newVectors(o.registerer)}, nil
}

// For returns the breaker of a method at a target, made when it is first asked
// for. Keep it where both are known. The methods that no policy table holds
// share one for each target, under the name that they have in metrics.
func (s *Set) For(target string, m *policy.Method) *Breaker {
	k := key{target, m.FullName}
	if b, ok := s.all.Load(k); ok {
		return b.(*Breaker) //nolint:forcetypeassert // nothing else is stored
	}
	b, there := s.all.LoadOrStore(k, newBreaker(s, k))
	if !there {
		s.metrics.show(k)
	}
	return b.(*Breaker) //nolint:forcetypeassert // nothing else is stored
}

// Forget drops the breakers of a target that is not called any more, and their
// metrics. A call that holds one goes on with it, but nobody sees that.
func (s *Set) Forget(target string) {
	s.all.Range(func(k, b any) bool {
		if k.(key).target == target { //nolint:forcetypeassert // nothing else is stored
			b.(*Breaker).forgotten.Store(true) //nolint:forcetypeassert // nothing else is stored
			s.all.Delete(k)
		}
		return true
	})
	s.metrics.forget(target)
}

// Snapshot is the state of one breaker at one moment, for JSON.
type Snapshot struct {
	// Target is the dial target, Method the full name of the method.
	Target string `json:"target"`
	Method string `json:"method"`
	// State is closed, half_open or open.
	State string `json:"state"`
	// Since is when it came into that state.
	Since time.Time `json:"since"`
	// Calls and Failures are what counted in the window of a closed breaker, and
	// what opened one that is not closed.
	Calls    int `json:"calls"`
	Failures int `json:"failures"`
	// NextProbe is when an open breaker lets the next call through.
	NextProbe time.Time `json:"next_probe,omitzero"`
	// Rejections is how many calls it did not let through since it was made.
	Rejections uint64 `json:"rejections,omitempty"`
}

// Snapshot returns the state of all breakers, ordered by target and method.
func (s *Set) Snapshot() []Snapshot {
	var out []Snapshot
	s.all.Range(func(_, b any) bool {
		out = append(out, b.(*Breaker).Snapshot()) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	slices.SortFunc(out, func(a, b Snapshot) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Method, b.Method))
	})
	return out
}
