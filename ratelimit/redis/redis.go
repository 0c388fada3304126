// Package redis counts calls in Redis, so that several instances of a service
// share one limit for each of their callers. The algorithm is GCRA, a token
// bucket that is one number, in a script that Redis runs (redis_rate).
//
// # While Redis is away
//
// No call waits for it longer than Config.Timeout. An instance that gets no
// answer decides by itself, with its share of the limit: the limit divided by the
// number of instances. After three failures in a row it does not ask any more, so
// that a Redis that is gone costs nothing, until [Limiter.Run] has found that it
// answers again. So over all instances a limit holds always, but for one call for
// each, and for what was admitted just before Redis went.
//
// A Redis that lost its memory begins with full buckets.
package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/keelson-dev/keelson/ratelimit"
)

// DefaultTimeout is Config.Timeout when it is zero.
const DefaultTimeout = 50 * time.Millisecond

// maxFailures is after how many failures in a row Redis is away.
const maxFailures = 3

// The pace at which a Redis that is away is asked whether it is back. One that goes
// again before it was there for steady is asked less often, so that one that comes
// and goes costs little.
const firstProbe, lastProbe, steady = 100 * time.Millisecond, 2 * time.Second, 10 * time.Second

// longest is what a time is said to be that is too long for a [time.Duration].
const longest = time.Duration(1 << 62)

// Config is where calls are counted. Only Address is needed.
type Config struct {
	// Address is host:port.
	Address string
	// Username and Password authenticate, where Redis wants that.
	Username, Password string
	// DB is the number of the database.
	DB int
	// TLS is how TLS is spoken; nil: it is not.
	TLS *tls.Config
	// Timeout bounds one question, with a connection if need be; 0: 50 ms.
	Timeout time.Duration
	// Prefix begins the keys in Redis, so that services do not share limits by
	// chance; empty: keelson.
	Prefix string
	// MaxKeys is how many buckets are kept here for while Redis is away; 0:
	// 10,000.
	MaxKeys int
}

// Limiter admits calls. It is safe for concurrent use. It connects when it is
// first asked; [Limiter.Close] ends its connections, and [Limiter.Run] is needed
// for it to find Redis again.
type Limiter struct {
	settings
	timeout time.Duration
	prefix  string
	client  *redis.Client
	shared  *redis_rate.Limiter
	local   *ratelimit.Keyed

	failures atomic.Int32  // in a row
	away     chan struct{} // holds one signal when Redis went away
	last     atomic.Pointer[error]
}

type settings struct {
	log       *slog.Logger
	registry  prometheus.Registerer
	instances func() int
	metrics   *instruments
}

// Option changes a Limiter at its making.
type Option interface{ apply(*settings) }

type optionFunc func(*settings)

func (f optionFunc) apply(s *settings) { f(s) }

// WithLogger logs when Redis goes away and comes back; default: nothing.
func WithLogger(l *slog.Logger) Option {
	return optionFunc(func(s *settings) {
		if l != nil {
			s.log = l
		}
	})
}

// WithRegisterer registers the metrics; default: none.
func WithRegisterer(r prometheus.Registerer) Option {
	return optionFunc(func(s *settings) { s.registry = r })
}

// WithInstances tells how many instances share the limits while Redis is away.
// The function is called for each such call and must not block. Default: 1.
func WithInstances(f func() int) Option { return optionFunc(func(s *settings) { s.instances = f }) }

// New returns a Limiter. It connects to nothing. The error says what of the
// configuration is wrong.
func New(cfg Config, opts ...Option) (*Limiter, error) {
	if cfg.Address == "" {
		return nil, errors.New("the address of Redis is empty; give host:port")
	}
	local, err := ratelimit.NewKeyed(cfg.MaxKeys)
	if err != nil {
		return nil, err
	}
	l := &Limiter{timeout: cfg.Timeout, prefix: cfg.Prefix, local: local, away: make(chan struct{}, 1)}
	l.settings = settings{log: slog.New(slog.NewTextHandler(io.Discard, nil)), instances: func() int { return 1 }}
	for _, o := range opts {
		o.apply(&l.settings)
	}
	l.metrics = newInstruments(l.registry)
	if l.timeout <= 0 {
		l.timeout = DefaultTimeout
	}
	if l.prefix == "" {
		l.prefix = "keelson"
	}
	l.client = redis.NewClient(&redis.Options{
		Addr: cfg.Address, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, Dialer: dialer(cfg.TLS),
		// One question is one attempt: what a call cannot wait for is of no use.
		MaxRetries: -1, DialerRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: l.timeout, ReadTimeout: l.timeout, WriteTimeout: l.timeout, PoolTimeout: l.timeout,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	l.shared = redis_rate.NewLimiter(l.client)
	return l, nil
}

// Take takes a token from the bucket of a key, whose size is q: from the one in
// Redis, or from this instance's share. The context bounds the question further.
func (l *Limiter) Take(ctx context.Context, key string, q ratelimit.Quota) ratelimit.Taken {
	if l.failures.Load() < maxFailures {
		start := time.Now()
		t, err := l.ask(ctx, key, q)
		l.metrics.duration.Observe(time.Since(start).Seconds())
		if err == nil {
			l.failures.Store(0)
			l.metrics.shared.Inc()
			return t
		}
		if ctx.Err() == nil { // else it is the caller who does not wait
			l.failed(err)
		}
	}
	l.metrics.local.Inc()
	return l.local.Take(key, q.Share(l.instances()), time.Now())
}

// ask asks Redis for a token, within the timeout.
func (l *Limiter) ask(ctx context.Context, key string, q ratelimit.Quota) (t ratelimit.Taken, err error) {
	defer func() {
		if r := recover(); r != nil { // redis_rate takes every answer for Redis's own
			err = fmt.Errorf("what answers at %s is no Redis: %v", l.client.Options().Addr, r)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	q = q.Normal()
	limit := redis_rate.Limit{Rate: 1, Period: time.Duration(float64(time.Second) / q.Rate), Burst: q.Burst}
	res, err := l.shared.AllowN(ctx, l.prefix+":"+key, limit, 1)
	if err != nil {
		return t, fmt.Errorf("ask Redis: %w", err)
	}
	t = ratelimit.Taken{OK: res.Allowed >= 1, Remaining: res.Remaining, Full: bounded(res.ResetAfter)}
	if !t.OK {
		t.Wait = max(bounded(res.RetryAfter), time.Millisecond)
	}
	return t, nil
}

// bounded makes the longest time of what redis_rate computed beyond the range of a
// [time.Duration].
func bounded(d time.Duration) time.Duration {
	if d < 0 || d > longest {
		return longest
	}
	return d
}

// failed counts a failure. The one that is one too many says that Redis is away.
func (l *Limiter) failed(err error) {
	l.metrics.failed.Inc()
	l.last.Store(&err)
	if l.failures.Add(1) != maxFailures {
		return
	}
	l.metrics.away.Set(1)
	l.log.Warn("Redis is away; each instance admits its share of the rate limits", "address", l.client.Options().Addr, "error", err)
	select {
	case l.away <- struct{}{}:
	default:
	}
}

// Run finds out when a Redis that went away is back, until the context ends. It
// returns nil.
func (l *Limiter) Run(ctx context.Context) error {
	pause, back := firstProbe, time.Time{}
	for {
		select {
		case <-l.away:
			if time.Since(back) >= steady {
				pause = firstProbe
			}
			pause = l.awaitReturn(ctx, pause)
			back = time.Now()
		case <-ctx.Done():
			return nil
		}
	}
}

// awaitReturn asks until Redis answers what calls ask it. It takes a token, which
// there always is: a Redis that cannot write answers all else. It returns after how
// long to ask first if Redis goes again.
func (l *Limiter) awaitReturn(ctx context.Context, pause time.Duration) time.Duration {
	since := time.Now()
	wait := time.NewTimer(pause)
	defer wait.Stop()
	for {
		select {
		case <-wait.C:
		case <-ctx.Done():
			return pause
		}
		pause = min(2*pause, lastProbe)
		_, err := l.ask(ctx, "probe", ratelimit.Quota{Rate: 1e6})
		if err == nil {
			break
		}
		l.last.Store(&err)
		wait.Reset(pause)
	}
	l.metrics.away.Set(0)
	l.failures.Store(0)
	l.log.Info("Redis is back; the rate limits are counted over all instances again", "address", l.client.Options().Addr, "duration", time.Since(since).Round(time.Millisecond))
	return pause
}

// Check returns why calls are counted by this instance alone, nil when they are
// not: the check of a dependency.
func (l *Limiter) Check(context.Context) error {
	if l.failures.Load() < maxFailures {
		return nil
	}
	return fmt.Errorf("the rate limits are counted by each instance alone: %w", *l.last.Load())
}

// Close ends the connections. Calls are counted by this instance alone then.
func (l *Limiter) Close() error {
	if err := l.client.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close the connections to Redis: %w", err)
	}
	return nil
}
