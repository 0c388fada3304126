// Package ratelimit admits so many calls per second, per method and per caller
// of a method, with token buckets local to the instance. A call too many is
// answered RESOURCE_EXHAUSTED, reason RATE_LIMITED, with RetryInfo (when there
// will be a token) and QuotaFailure (whose quota, and how large it is).
//
// Rates are the method's policy (rate, burst, caller_rate, caller_burst), read at
// each call: a reload holds from the next call on, and buckets keep what they
// hold. A method without rates is not limited and costs one atomic load.
//
// A stream counts once, when it begins. Health checks are never limited: limits
// are set on methods of the policy table, which the health service is not in.
// To exempt others, set no rate on them, or wrap the interceptor in a selector.
package ratelimit

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/policy"
)

// DefaultMaxCallers is Config.MaxCallers when it is zero.
const DefaultMaxCallers = 10_000

// Config is what a Limiter needs beside the policy of the methods.
type Config struct {
	// MaxCallers is how many buckets of callers are kept, one for each method
	// that limits its callers and each of its callers, about 250 bytes each.
	// Zero: 10,000. When there are more, the bucket that was idle for longest
	// goes; its caller starts again with a full one. Who has more addresses than
	// this is bounded by the method's own rate only.
	MaxCallers int
	// Caller names the caller of a call, for instance by its identity. It is
	// called for each call of a method that limits its callers, by several
	// goroutines at once. "" is a caller like any other. Nil: the address of the
	// peer without its port.
	Caller func(*call.Call) string
}

// Limiter holds the buckets. It is safe for concurrent use, starts no goroutine
// and needs no end.
type Limiter struct {
	caller  func(*call.Call) string
	methods sync.Map // *policy.Method -> *bucket
	callers callers
}

// New returns a Limiter. It returns an error for a negative MaxCallers.
func New(cfg Config) (*Limiter, error) {
	if cfg.MaxCallers < 0 {
		return nil, errors.New("max_callers is negative; set how many callers' buckets are kept, or 0 for " + strconv.Itoa(DefaultMaxCallers))
	}
	if cfg.MaxCallers == 0 {
		cfg.MaxCallers = DefaultMaxCallers
	}
	l := &Limiter{caller: cfg.Caller}
	l.callers.init(cfg.MaxCallers)
	return l, nil
}

// Allow takes a token for a call that begins, from its caller's bucket and then
// from its method's, and returns nil, or an [*errs.Error] for a call too many. A
// caller that has used up its own tokens takes none from the others. The time is
// the call's Start (now, if it is zero). Nothing is allocated for a call that is
// allowed, except a bucket when a caller is first seen.
func (l *Limiter) Allow(c *call.Call) error {
	e := c.Method.Effective()
	if e.Rate <= 0 && e.CallerRate <= 0 {
		return nil
	}
	now := c.Start
	if now.IsZero() {
		now = time.Now()
	}
	if e.CallerRate > 0 {
		k := l.key(c)
		if wait, ok := l.callers.take(k, size{e.CallerRate, e.CallerBurst}, now); !ok {
			return limited(c.Method, "caller", k.String(), size{e.CallerRate, e.CallerBurst}, wait)
		}
	}
	if e.Rate > 0 {
		if wait, ok := l.method(c.Method, now).take(size{e.Rate, e.Burst}, now); !ok {
			return limited(c.Method, "method", c.Method.FullName, size{e.Rate, e.Burst}, wait)
		}
	}
	return nil
}

// Callers returns how many callers' buckets are kept now.
func (l *Limiter) Callers() int { return l.callers.len() }

func (l *Limiter) method(m *policy.Method, now time.Time) *bucket {
	if b, ok := l.methods.Load(m); ok {
		return b.(*bucket) //nolint:forcetypeassert // nothing else is stored
	}
	e := m.Effective()
	b, _ := l.methods.LoadOrStore(m, newBucket(size{e.Rate, e.Burst}, now))
	return b.(*bucket) //nolint:forcetypeassert // nothing else is stored
}

// Forget drops the bucket of a method that is gone from the policy table (a
// gateway's target). The buckets of its callers go when they are idle.
func (l *Limiter) Forget(m *policy.Method) { l.methods.Delete(m) }

// key is a caller of a method: by address, or by name.
type key struct {
	method *policy.Method
	addr   netip.Addr
	name   string
}

func (l *Limiter) key(c *call.Call) key {
	if l.caller != nil {
		return key{method: c.Method, name: l.caller(c)}
	}
	switch a := c.Peer.(type) {
	case nil:
		return key{method: c.Method}
	case *net.TCPAddr:
		return key{method: c.Method, addr: a.AddrPort().Addr().Unmap()}
	default:
		return key{method: c.Method, name: host(a.String())}
	}
}

// host returns an address without its port, if it has one.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// String names the caller for people.
func (k key) String() string {
	switch {
	case k.addr.IsValid():
		return k.addr.String()
	case k.name == "":
		return "unknown"
	}
	return k.name
}

// size is what a bucket holds and how fast it fills.
type size struct {
	rate  float64 // tokens per second
	burst int
}

// slowest is the lowest rate of a bucket: one token in eleven days. longest is what
// a time is said to be that is longer still: 146 years.
const (
	slowest = 1e-6
	longest = time.Duration(1 << 62)
)

func (s size) normal() size {
	s.rate = max(s.rate, slowest)
	if s.burst < 1 {
		s.burst = max(1, int(math.Ceil(min(s.rate, 1<<30))))
	}
	return s
}

// after is how long it takes until there are so many more tokens.
func (s size) after(tokens float64) time.Duration {
	return time.Duration(min(tokens/s.rate*float64(time.Second), float64(longest)))
}

// bucket is a token bucket whose size may change.
type bucket struct {
	limiter *rate.Limiter
	size    atomic.Pointer[size]
}

func newBucket(s size, now time.Time) *bucket {
	s = s.normal()
	b := &bucket{limiter: rate.NewLimiter(rate.Limit(s.rate), s.burst)}
	b.size.Store(&s)
	b.limiter.AllowN(now, 0)
	return b
}

// take takes a token, or tells how long until there is one.
func (b *bucket) take(s size, now time.Time) (time.Duration, bool) {
	s = s.normal()
	if *b.size.Load() != s {
		b.resize(s, now)
	}
	if b.limiter.AllowN(now, 1) {
		return 0, true
	}
	return max(s.after(1-b.limiter.TokensAt(now)), time.Millisecond), false
}

// resize sets another size; the tokens that are there stay, as far as they fit.
func (b *bucket) resize(s size, now time.Time) {
	b.limiter.SetLimitAt(now, rate.Limit(s.rate))
	b.limiter.SetBurstAt(now, s.burst)
	b.size.Store(&s)
}

func limited(m *policy.Method, kind, who string, s size, wait time.Duration) error {
	s = s.normal()
	quota := fmt.Sprintf("%s calls per second, %d at once", strconv.FormatFloat(s.rate, 'g', 6, 64), s.burst)
	return errs.ResourceExhausted(errs.ReasonRateLimited, "%s admits %s, for each %s and instance; wait %s", m.FullName, quota, kind, wait.Round(time.Millisecond)).
		With(errs.Meta("limit", kind), errs.Meta("method", m.FullName), errs.Quota(kind+":"+who, quota), errs.RetryAfter(wait))
}

// PushbackKey is the trailer that tells gRPC's own retries when to try again;
// negative is never (gRFC A6).
const PushbackKey = "grpc-retry-pushback-ms"

// Pushback returns the trailer of a call that was not admitted: do not retry by
// yourself, since that would only use up the quota again.
func Pushback() metadata.MD { return metadata.Pairs(PushbackKey, "-1") }
