package rows

import (
	"context"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/platform"
)

// processRows are the faults of instances.
func processRows() []Row {
	return []Row{rollingRow(), killRow(), freezeRow(), slowRow(), failingRow()}
}

func rollingRow() Row {
	return Row{
		Name: "rolling", Promise: "SIGTERM rolling restart, all instances, again and again: 0 failed calls; streams resume without loss",
		Short:  Params{Before: 2 * time.Second, After: 2 * time.Second, Times: 1},
		Full:   Params{Before: 10 * time.Second, After: 10 * time.Second, Times: 3, Calls: 1_000_000, Rate: 600},
		Inject: rollingRestart,
		Checks: []Check{noneFailed, enough},
	}
}

// rollingRestart drains and replaces one instance after the other.
func rollingRestart(ctx context.Context, e *Env) error {
	e.Begin("rolling restart begins")
	rounds := 0
	for ; rounds < e.Params.Times || e.calls() < int64(e.Params.Calls); rounds++ {
		for _, i := range e.All() {
			if err := i.Stop(); err != nil {
				return err
			}
			if err := i.Start(ctx); err != nil {
				return err
			}
			if err := e.Registered(ctx); err != nil {
				return err
			}
		}
		if e.Full && rounds%10 == 9 {
			e.Log("%d rounds, %d calls", rounds+1, e.calls())
		}
	}
	e.Heal("rolling restart ends")
	e.Fact(fmt.Sprintf("%d rounds of %d instances", rounds, len(e.All())))
	return nil
}

func killRow() Row {
	return Row{
		Name: "kill9", Promise: "kill -9 of an instance: at least 99.99 % of calls that may be repeated; no traffic to it after 1 s",
		Short: Params{Before: 3 * time.Second, Fault: 3 * time.Second, After: time.Second, Limit: 30 * time.Second, Times: 1},
		Full:  Params{Before: 10 * time.Second, Fault: 15 * time.Second, After: 10 * time.Second, Limit: 30 * time.Second, Times: 25},
		Inject: func(ctx context.Context, e *Env) error {
			v := e.Victim()
			for n := range e.Params.Times {
				e.Begin("kill -9 of " + v.ID)
				v.Kill()
				if err := e.Wait(ctx, e.Params.Fault); err != nil {
					return err
				}
				e.Heal(v.ID + " is started again")
				if err := v.Start(ctx); err != nil {
					return err
				}
				if n+1 < e.Params.Times {
					if err := e.Wait(ctx, e.Params.Fault); err != nil {
						return err
					}
				}
			}
			return nil
		},
		Checks: []Check{calm(atLeast(0.9999, "all calls", every)), noTrafficAfter(time.Second), backWithin(30 * time.Second)},
	}
}

func freezeRow() Row {
	return Row{
		Name: "sigstop", Promise: "SIGSTOP of an instance, then SIGCONT: only calls sent to it before it left rotation are lost, none of the hedged; out within 2 s, back within 30 s",
		Short: Params{Before: 3 * time.Second, Fault: 8 * time.Second, After: 2 * time.Second, Limit: 30 * time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: time.Minute, After: 14 * time.Minute, Limit: 30 * time.Second},
		Inject: func(ctx context.Context, e *Env) error {
			v := e.Victim()
			e.Begin("SIGSTOP of " + v.ID)
			v.Freeze()
			err := e.Wait(ctx, e.Params.Fault)
			v.Thaw()
			e.Heal("SIGCONT of " + v.ID)
			return err
		},
		Checks: []Check{calm(lostAreInFlight), calm(hedgedNeverFail), outWithin(2 * time.Second), calm(probesOnly), calm(noStorm), backWithin(30 * time.Second),
			fullOnly(atLeast(0.999, "all calls", every)), fullOnly(atLeast(0.9999, "hedged calls", func(c *history.Call) bool { return hedged(c.Kind) }))},
	}
}

func slowRow() Row {
	return Row{
		Name: "slow", Promise: "one instance 200 ms slower: its share falls by 80 % within 5 s; at least 99.9 %",
		Shape: platform.Shape{Front: platform.GRPC},
		Short: Params{Before: 3 * time.Second, Fault: 9 * time.Second, After: time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: 2 * time.Minute, After: 30 * time.Second, Limit: 30 * time.Second},
		Inject: func(ctx context.Context, e *Env) error {
			e.Begin(e.Victim().ID + " is 200 ms slower")
			e.Victim().GRPC.Slow(200 * time.Millisecond)
			err := e.Wait(ctx, e.Params.Fault)
			e.Victim().GRPC.Slow(0)
			e.Heal(e.Victim().ID + " is as fast as before")
			return err
		},
		Checks: []Check{calm(atLeast(0.999, "all calls", every)), shareFalls(0.8, 5*time.Second)},
	}
}

func failingRow() Row {
	return Row{
		Name: "failing", Promise: "one instance failing 10 % of its calls: its share falls by 80 % within 5 s; at least 99.9 %",
		Shape: platform.Shape{Front: platform.GRPC},
		Short: Params{Before: 3 * time.Second, Fault: 9 * time.Second, After: time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: 2 * time.Minute, After: 30 * time.Second, Limit: 30 * time.Second},
		Inject: func(ctx context.Context, e *Env) error {
			e.Begin(e.Victim().ID + " fails 10 % of its calls")
			e.Victim().GRPC.Fail(0.1)
			err := e.Wait(ctx, e.Params.Fault)
			e.Victim().GRPC.Fail(0)
			e.Heal(e.Victim().ID + " is well again")
			return err
		},
		Checks: []Check{calm(atLeast(0.999, "all calls", every)), shareFalls(0.8, 5*time.Second)},
	}
}
