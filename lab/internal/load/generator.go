package load

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/history"
)

// Config is what the load consists of.
type Config struct {
	// Rate is how many calls arrive per second.
	Rate float64
	// Seed decides what they are.
	Seed uint64
	// Prefix begins the names of all users that the load makes.
	Prefix string
	// Users is how many users are in play at a time. Default 48.
	Users int
	// Read and Write are the deadlines. Default 1 s and 2 s.
	Read, Write time.Duration
	// Mix is how many of a hundred calls are what. Default [DefaultMix].
	Mix Mix
}

// Mix is how many of a hundred calls are what; the rest are writes.
type Mix struct{ Get, List, Batch, Changes int }

// DefaultMix reads three times of four.
var DefaultMix = Mix{Get: 55, List: 3, Batch: 7, Changes: 10}

// maxInFlight is how many calls may be under way; a platform that is so far
// behind is not measured any more, and the calls count as failed.
const maxInFlight = 20_000

// Generator makes calls at a fixed rate, whether or not the earlier ones have
// ended: a slow platform is not given time to recover, and the latency of a call
// counts from when it was due.
type Generator struct {
	cfg   Config
	users userv1.UserServiceClient
	audit auditv1.AuditServiceClient // nil: none
	to    *history.History
	pool  *pool

	next     atomic.Int64
	inFlight atomic.Int64
	running  sync.WaitGroup
}

// New prepares a generator. The history's clock is the one of all times.
func New(cfg Config, users userv1.UserServiceClient, audit auditv1.AuditServiceClient, to *history.History) *Generator {
	if cfg.Users == 0 {
		cfg.Users = 48
	}
	if cfg.Read == 0 {
		cfg.Read = time.Second
	}
	if cfg.Write == 0 {
		cfg.Write = 2 * time.Second
	}
	if cfg.Mix == (Mix{}) {
		cfg.Mix = DefaultMix
	}
	return &Generator{cfg: cfg, users: users, audit: audit, to: to, pool: newPool(cfg.Prefix, cfg.Users)}
}

// Run generates calls until the context ends, and waits for those under way.
func (g *Generator) Run(ctx context.Context) {
	rng := rand.New(rand.NewPCG(g.cfg.Seed, 0)) //nolint:gosec // to be repeated, not to be secret
	origin := g.to.Now()
	gap := time.Duration(float64(time.Second) / g.cfg.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := range int64(1 << 62) {
		intended := origin + time.Duration(n)*gap
		if wait := intended - g.to.Now(); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		g.launch(rng, intended)
	}
	g.running.Wait()
}

// Calls is how many calls were begun.
func (g *Generator) Calls() int64 { return g.next.Load() }

// launch chooses the next call and begins it.
func (g *Generator) launch(rng *rand.Rand, intended time.Duration) {
	c := &history.Call{ID: int(g.next.Add(1)), Intended: intended}
	slot := g.pool.pick(rng)
	dice := rng.IntN(100)
	var keys []string
	m := g.cfg.Mix
	switch {
	case dice < m.Get:
		c.Kind = history.Get
		c.Key, _ = g.pool.read(slot)
	case dice < m.Get+m.List:
		c.Kind = history.List
	case dice < m.Get+m.List+m.Batch:
		c.Kind = history.Batch
		if keys = g.pool.keys(rng, 8); len(keys) == 0 {
			c.Kind = history.List
		}
	case dice < m.Get+m.List+m.Batch+m.Changes:
		c.Kind = history.Changes
		if g.audit == nil {
			c.Kind = history.List
		}
	default:
		c.Kind, c.Key, c.IfEtag = g.pool.write(slot, rng.IntN(100))
	}
	if g.inFlight.Add(1) > maxInFlight {
		g.inFlight.Add(-1)
		c.Start = g.to.Now()
		c.Code, c.Reason, c.End = codeOverrun, "LAB_OVERRUN", c.Start
		g.to.Record(c)
		return
	}
	g.running.Go(func() {
		defer g.inFlight.Add(-1)
		g.perform(c, keys)
		if c.Key != "" {
			g.pool.learn(slot, c)
		}
		g.to.Record(c)
	})
}
