package rows

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/keelson-dev/keelson"
	auditv1 "github.com/keelson-dev/keelson/services/audit/api/audit/v1"
	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/load"
	"github.com/keelson-dev/keelson/lab/internal/platform"
	"github.com/keelson-dev/keelson/lab/internal/report"
)

// Options are what a run sets for all rows.
type Options struct {
	Full      bool
	Instances int
	Rate      float64
	Duration  time.Duration // of the fault; 0: the row's own
	Seed      uint64
	Seeds     int // how often a row is run, each time with the next seed
	Root      string
	Log       func(format string, args ...any)
	// Live is told how a row is getting on, once a second; nil: nobody is.
	Live func(text string)
}

// maxRate is the most calls per second. The lab is one process; how many it can
// really begin, its own lag tells.
const maxRate = 100_000

// Validate reports all flags of a command that make no sense.
func (o *Options) Validate() error {
	var faults []error
	fault := func(wrong bool, text string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Errorf(text, args...))
		}
	}
	fault(o.Instances < 2, "-instances is %d; nothing is spared with fewer than 2", o.Instances)
	fault(!(o.Rate > 0 && o.Rate <= maxRate), "-rate is %g; give calls per second, above 0 and up to %d", o.Rate, maxRate)
	fault(o.Duration < 0, "-duration is %s; give how long the fault lasts, or 0 for the row's own time", o.Duration)
	fault(o.Seeds < 1, "-seeds is %d; give at least 1", o.Seeds)
	return errors.Join(faults...)
}

const (
	// watchers is how many watch the users, all the same.
	watchers = 3
	// linearLimit is how long linearizability may be checked.
	linearLimit = 60 * time.Second
	// maxJitter is by how much the seed delays the fault.
	maxJitter = time.Second
	// drainLimit is how long streams may lag behind the last write.
	drainLimit = 20 * time.Second
)

// Run runs a row once and judges it. An error is one of the lab; what the
// platform did wrong is in the result.
func Run(ctx context.Context, p *platform.Platform, row Row, o Options) (*report.Result, error) {
	result := &report.Result{Row: row.Name, Promise: row.Promise, Full: o.Full, Seed: o.Seed, Started: time.Now()}
	if why := missing(p, row); why != "" {
		result.Skipped = why
		return result, nil
	}
	shape := row.Shape
	if shape.Users == 0 {
		shape.Users = o.Instances
	}
	if shape.Audits == 0 {
		shape.Audits = 2
	}
	e := newEnv(p, row, o)
	var err error
	if row.Run != nil {
		result.Verdicts, err = row.Run(ctx, e)
	} else {
		if err := p.Ensure(ctx, shape); err != nil {
			return nil, fmt.Errorf("%s: %w", row.Name, err)
		}
		err = e.underLoad(ctx, row, result)
	}
	if err != nil {
		return nil, fmt.Errorf("%s (seed %d): %w", row.Name, o.Seed, err)
	}
	result.Facts = e.facts
	result.Took = time.Since(result.Started)
	result.Judge()
	return result, nil
}

// missing says what the machine lacks for a row.
func missing(p *platform.Platform, row Row) string {
	if slices.Contains(row.Needs, Packets) && p.Network == nil {
		return p.NetworkErr.Error()
	}
	if slices.Contains(row.Needs, Consul) && !p.WantsConsul() {
		return "the registry is not Consul"
	}
	return ""
}

func newEnv(p *platform.Platform, row Row, o Options) *Env {
	e := &Env{Platform: p, Params: row.Short, Full: o.Full, Rng: rand.New(rand.NewPCG(o.Seed, 1)), Log: o.Log, Rate: o.Rate, Seed: o.Seed, Root: o.Root, live: o.Live} //nolint:gosec // to be repeated
	if o.Full {
		e.Params = row.Full
	}
	if o.Duration > 0 {
		e.Params.Fault = o.Duration
	}
	if e.Params.Rate > 0 {
		e.Rate = e.Params.Rate
	}
	e.History = history.New()
	return e
}

// course is one row's load and its consumers.
type course struct {
	*Env
	prefix    string
	clients   []*keelson.Client
	users     userv1.UserServiceClient
	audit     auditv1.AuditServiceClient
	generator *load.Generator
	lag       *load.LagMeter

	head     int64 // of the change stream when the row began
	position int64 // of the audit history
	ended    time.Duration

	running    sync.WaitGroup     // load and imports
	background sync.WaitGroup     // streams and the lag meter
	stop       context.CancelFunc // of streams
}

// underLoad runs the load, injects the fault, lets the platform recover, and
// judges.
func (e *Env) underLoad(ctx context.Context, row Row, result *report.Result) error {
	c := &course{Env: e, prefix: fmt.Sprintf("%s-%d-%d", row.Name, e.Seed, time.Now().Unix()%1_000_000), lag: &load.LagMeter{}}
	defer c.close()
	if err := c.open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	loading, stopLoad := context.WithCancel(ctx)
	defer stopLoad()
	c.begin(ctx, loading)
	var injected error
	func() {
		defer stopLoad()
		if injected = e.Wait(ctx, e.Params.Before+time.Duration(e.Rng.Int64N(int64(maxJitter)))); injected != nil {
			return
		}
		if injected = row.Inject(ctx, e); injected != nil {
			return
		}
		c.recover(ctx)
	}()
	c.running.Wait()
	c.ended = c.History.Now()
	if injected != nil {
		return injected
	}
	verdicts, err := c.finish(ctx)
	if err != nil {
		return err
	}
	out := c.outcome()
	for _, ck := range row.Checks {
		verdicts = append(verdicts, ck(out))
	}
	result.Verdicts = append(verdicts, c.verdicts...)
	c.measure(result, out)
	return nil
}

// open makes the clients and finds out where the histories stand.
func (c *course) open(ctx context.Context) error {
	registry := prometheus.NewRegistry()
	c.metrics = func() map[string]float64 { return counters(registry) }
	client, err := c.Client("lab", keelson.WithRegistry(registry))
	if err != nil {
		return err
	}
	c.clients = append(c.clients, client)
	users, err := client.Dial("user", grpc.WithStatsHandler(load.Observer{}))
	if err != nil {
		return err
	}
	c.users = userv1.NewUserServiceClient(users)
	if c.HasAudit() {
		audits, err := client.Dial("audit", grpc.WithStatsHandler(load.Observer{}))
		if err != nil {
			return err
		}
		c.audit = auditv1.NewAuditServiceClient(audits)
	}
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	if err := c.steady(ctx); err != nil {
		return err
	}
	if c.audit != nil {
		if err := load.Recorded(ctx, c.users, c.audit, "recorded-"+c.prefix); err != nil {
			return err
		}
		if c.position, err = load.Position(ctx, c.audit); err != nil {
			return err
		}
	}
	c.head, err = c.Head(ctx)
	return err
}

// begin starts load, streams and imports.
func (c *course) begin(ctx, loading context.Context) {
	streaming, stop := context.WithCancel(ctx)
	c.stop = stop
	c.background.Go(func() { c.lag.Run(streaming, c.History.Clock) })
	revision, _ := load.Revision(ctx, c.users)
	for n := range watchers {
		s := c.History.Stream(fmt.Sprintf("watch %d", n+1))
		c.background.Go(func() { load.Watch(streaming, c.users, c.prefix, revision, c.History.Clock, s) })
	}
	if c.audit != nil {
		s := c.History.Stream("follow")
		c.background.Go(func() {
			load.Follow(streaming, c.audit, c.prefix, c.prefix, c.position, c.History.Clock, s)
		})
	}
	c.generator = load.New(load.Config{Rate: c.Rate, Seed: c.Seed, Prefix: c.prefix}, c.users, c.audit, c.History)
	c.calls = c.generator.Calls
	if c.live != nil {
		c.running.Go(func() { c.showLive(loading) })
	}
	c.running.Go(func() { c.generator.Run(loading) })
	c.running.Go(func() { load.Import(loading, c.users, c.prefix, 2*time.Second, 20*time.Second, c.History) })
}

// showLive tells once a second how many calls there were and how many failed.
func (c *course) showLive(ctx context.Context) {
	for shown := 0; c.Wait(ctx, time.Second) == nil; {
		calls := c.History.Calls()
		n, failed := count(calls[shown:], every)
		shown = len(calls)
		c.live(fmt.Sprintf("%s: %d calls, %d in the last second, %d of them failed", c.History.Now().Round(time.Second), len(calls), n, failed))
	}
}

// recover lets the load go on after the fault: for the row's time, and until the
// victim is back where the row waits for that.
func (c *course) recover(ctx context.Context) {
	_ = c.Wait(ctx, c.Params.After)
	if c.Params.Limit == 0 {
		return
	}
	c.Until(ctx, c.Params.Limit, func() bool {
		c.ended = c.History.Now()
		_, ok := c.outcome().Back()
		return ok
	})
}

// finish settles open writes, reads everything back, lets the streams catch up,
// and checks the invariants.
func (c *course) finish(ctx context.Context) ([]check.Verdict, error) {
	if n := c.generator.Settle(ctx); n > 0 {
		c.Fact(fmt.Sprintf("%d writes had no answer and were asked about again", n))
	}
	byAPI, err := c.generator.ReadBack(ctx)
	if err != nil {
		return nil, err
	}
	byStore, events, err := c.Stored(ctx, c.prefix, c.head)
	if err != nil {
		return nil, err
	}
	c.Until(ctx, drainLimit, func() bool {
		return !slices.ContainsFunc(c.History.Streams(), func(s *history.Stream) bool { return len(s.Events()) < len(events) })
	})
	var audited []history.Event
	if c.audit != nil {
		if audited, err = load.Audited(ctx, c.audit, c.prefix, c.position, c.History.Clock); err != nil {
			return nil, err
		}
	}
	c.stop()
	c.background.Wait()
	return c.judge(byAPI, byStore, events, audited), nil
}

// judge checks what holds under every fault.
func (c *course) judge(byAPI, byStore map[string]history.State, events, audited []history.Event) []check.Verdict {
	calls := c.History.Calls()
	all := []check.Verdict{
		check.Effects("PostgreSQL", calls, c.History.Items(), events),
		check.Versions("PostgreSQL", events),
		check.Causal("PostgreSQL", calls, events),
		check.Final("the API", byAPI, "PostgreSQL", byStore),
		check.Replayed("PostgreSQL", events, byStore),
	}
	for _, s := range c.History.Streams() {
		all = append(all, check.Stream(s), check.SameOrder(s.Name, s.Events(), "PostgreSQL", events))
	}
	if c.audit != nil {
		all = append(all, check.Versions("the audit history", audited), check.SameOrder("the audit history", audited, "PostgreSQL", events))
	}
	return append(all, check.Linearizable(calls, linearLimit), check.Deadlines(c.load(), c.lag.Between))
}

// load are the calls of the load alone, without the reading back.
func (c *course) load() []*history.Call { return check.Window(c.History.Calls(), 0, c.ended) }

func (c *course) outcome() *Outcome {
	o := &Outcome{Calls: c.load(), Victims: map[string]bool{}, Spans: c.spans, Healed: c.ended, Ended: c.ended, Instances: len(c.Users()), Full: c.Full, Params: c.Params, Lag: c.lag.Between}
	if n := len(c.spans); n > 0 {
		o.Begun, o.Healed = c.spans[0].From, c.spans[n-1].To
	}
	if c.victim != nil {
		o.Victims[c.victim.Advertised] = true
	}
	return o
}

func (c *course) close() {
	if c.stop != nil {
		c.stop()
	}
	c.background.Wait()
	var errs []error
	for _, client := range c.clients {
		errs = append(errs, client.Close())
	}
	if err := errors.Join(errs...); err != nil {
		c.Log("close the lab's client: %v", err)
	}
}

// steady waits until calls go through and each instance has had one: then all
// connections of the lab's client are up.
func (c *course) steady(ctx context.Context) error {
	for range 5 * len(c.Users()) {
		if _, err := load.Revision(ctx, c.users); err != nil {
			return fmt.Errorf("call the platform before the fault: %w", err)
		}
	}
	return c.Wait(ctx, 300*time.Millisecond)
}
