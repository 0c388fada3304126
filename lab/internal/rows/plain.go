package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	userv1 "github.com/keelson-dev/keelson/services/user/api/user/v1"

	"github.com/keelson-dev/keelson/lab/internal/check"
	"github.com/keelson-dev/keelson/lab/internal/load"
	"github.com/keelson-dev/keelson/lab/internal/platform"
	"github.com/keelson-dev/keelson/lab/internal/report"
)

// Dial makes a connection to the service of a platform.
type Dial func(p *platform.Platform, opts ...grpc.DialOption) (*grpc.ClientConn, error)

// RunPlain runs a row against a service that answers GetUser and nothing else,
// without streams, writes and what is checked of them.
func RunPlain(ctx context.Context, p *platform.Platform, row Row, o Options, dial Dial) (*report.Result, error) {
	result := &report.Result{Row: row.Name, Promise: row.Promise, Full: o.Full, Seed: o.Seed, Started: time.Now()}
	shape := row.Shape
	shape.Users = o.Instances
	if err := p.Ensure(ctx, shape); err != nil {
		return nil, fmt.Errorf("%s: %w", row.Name, err)
	}
	c := &course{Env: newEnv(p, row, o), lag: &load.LagMeter{}}
	c.metrics = func() map[string]float64 { return nil }
	conn, err := dial(p, grpc.WithStatsHandler(load.Observer{}))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	c.users = userv1.NewUserServiceClient(conn)
	conn.Connect()
	if err := c.Wait(ctx, time.Second); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.stop = cancel
	c.background.Go(func() { c.lag.Run(ctx, c.History.Clock) })
	loading, stopLoad := context.WithCancel(ctx)
	c.generator = load.New(load.Config{Rate: c.Rate, Seed: c.Seed, Prefix: "plain", Mix: load.Mix{Get: 100}}, c.users, nil, c.History)
	c.calls = c.generator.Calls
	c.running.Go(func() { c.generator.Run(loading) })
	err = errors.Join(c.Wait(ctx, c.Params.Before), row.Inject(ctx, c.Env))
	if err == nil {
		c.recover(ctx)
	}
	stopLoad()
	c.running.Wait()
	c.ended = c.History.Now()
	cancel()
	c.background.Wait()
	if err != nil {
		return nil, fmt.Errorf("%s (seed %d): %w", row.Name, o.Seed, err)
	}
	out := c.outcome()
	result.Verdicts = []check.Verdict{check.Deadlines(c.load(), c.lag.Between)}
	for _, ck := range row.Checks {
		result.Verdicts = append(result.Verdicts, ck(out))
	}
	c.measure(result, out)
	result.Took = time.Since(result.Started)
	result.Judge()
	return result, nil
}

// Named finds a row by its name.
func Named(name string) (Row, bool) {
	for _, r := range All() {
		if r.Name == name {
			return r, true
		}
	}
	return Row{}, false
}
