package internal

import (
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/keelson-dev/keelson/services/user/repository"
)

// PurgeConfig says what the background purge removes, and how often it looks.
// The zero value works.
type PurgeConfig struct {
	// Interval is the time between two rounds; 0: 1 min.
	Interval time.Duration `yaml:"interval" default:"1m" min:"1ms" doc:"time between two rounds of the purge"`
	// Batch bounds the rows of each kind that one transaction removes; 0: 500.
	Batch int `yaml:"batch" default:"500" min:"1" doc:"rows of each kind that one transaction of the purge removes"`
	// EventAge is how long changes can be watched from; 0: 24 h.
	EventAge time.Duration `yaml:"event_age" default:"24h" min:"1s" doc:"how long a change can be watched from"`
	// EventCount is how many changes are kept at most; 0: 1,000,000.
	EventCount int64 `yaml:"event_count" default:"1000000" min:"1" doc:"how many changes are kept at most"`
}

func (c PurgeConfig) withDefaults() PurgeConfig {
	c.Interval = orDefault(c.Interval, time.Minute)
	c.Batch = orDefault(c.Batch, 500)
	c.EventAge = orDefault(c.EventAge, 24*time.Hour)
	if c.EventCount <= 0 {
		c.EventCount = 1_000_000
	}
	return c
}

// Purger removes for good what is due: deleted users, remembered requests and
// import items, old changes. All instances run one; a lease in the store lets
// one of them work at a time.
type Purger struct {
	store repository.Store
	owner string
	cfg   PurgeConfig
	log   *slog.Logger
}

// NewPurger returns a purger; owner names this instance among all. A nil log
// logs nothing.
func NewPurger(store repository.Store, owner string, cfg PurgeConfig, log *slog.Logger) *Purger {
	if log == nil {
		log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return &Purger{store: store, owner: owner, cfg: cfg.withDefaults(), log: log}
}

// Run purges until the context ends. It returns nil: a round that fails is
// logged and the next one tries again.
func (p *Purger) Run(ctx context.Context) error {
	for {
		// Instances started together should not ask together.
		wait(ctx, p.cfg.Interval/2+rand.N(p.cfg.Interval))
		if ctx.Err() != nil {
			return nil
		}
		if err := p.Purge(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "purge users: the next round tries again", "error", err)
		}
	}
}

// Purge removes all that is due now, unless another instance is at it.
func (p *Purger) Purge(ctx context.Context) error {
	for {
		res, err := p.store.Purge(ctx, repository.PurgeRound{
			Owner: p.owner, Lease: 2 * p.cfg.Interval, Batch: p.cfg.Batch, EventAge: p.cfg.EventAge, EventCount: p.cfg.EventCount,
		})
		if err != nil || !res.Held {
			return err
		}
		if n := res.Users + res.Requests + res.Imports + res.Events; n > 0 {
			p.log.InfoContext(ctx, "purged", "users", res.Users, "requests", res.Requests, "imports", res.Imports, "events", res.Events)
		}
		if !res.More {
			return nil
		}
	}
}
