package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keelson-dev/keelson/lab/internal/history"
	"github.com/keelson-dev/keelson/lab/internal/platform"
)

// networkRows are the faults between clients and instances.
func networkRows() []Row {
	return []Row{
		packets("drop", "one instance unreachable, packets to and from it dropped", func(n *platform.Network, port int) error { return errors.Join(n.To(port), n.From(port)) }),
		packets("one-way", "packets to one instance arrive, its answers are lost", func(n *platform.Network, port int) error { return n.From(port) }),
		resetsRow(),
		loss("loss-1", 0.01),
		loss("loss-5", 0.05),
		blackoutRow(),
	}
}

// packets is a row that cuts one instance off without a word.
func packets(name, what string, cut func(*platform.Network, int) error) Row {
	return Row{
		Name: name, Promise: what + ": as for SIGSTOP; every call ends by its deadline",
		Needs: []Need{Packets},
		Short: Params{Before: 3 * time.Second, Fault: 6 * time.Second, After: time.Second, Limit: 30 * time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: time.Minute, After: 14 * time.Minute, Limit: 30 * time.Second},
		Inject: func(ctx context.Context, e *Env) error {
			v := e.Victim()
			e.Begin(what)
			err := cut(e.Network, v.Port)
			if err == nil {
				err = e.Wait(ctx, e.Params.Fault)
			}
			err = errors.Join(err, e.Network.Heal())
			e.Heal("packets pass again")
			return err
		},
		Checks: []Check{calm(lostAreInFlight), calm(hedgedNeverFail), outWithin(2 * time.Second), calm(probesOnly), calm(noStorm), backWithin(30 * time.Second),
			fullOnly(atLeast(0.999, "all calls", every)), fullOnly(atLeast(0.9999, "hedged calls", func(c *history.Call) bool { return hedged(c.Kind) }))},
	}
}

func resetsRow() Row {
	return Row{
		Name: "resets", Promise: "connections of one instance are reset as soon as it answers: at least 99.9 %; every call ends by its deadline",
		Shape: platform.Shape{Front: platform.TCP},
		Short: Params{Before: 3 * time.Second, Fault: 6 * time.Second, After: time.Second, Limit: 30 * time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: time.Minute, After: 5 * time.Minute, Limit: 30 * time.Second},
		Inject: func(ctx context.Context, e *Env) error {
			e.Begin("connections of " + e.Victim().ID + " are reset")
			if err := e.Victim().TCP.Reset(); err != nil {
				return err
			}
			err := e.Wait(ctx, e.Params.Fault)
			e.Victim().TCP.Heal(ctx)
			e.Heal("connections hold again")
			return err
		},
		Checks: []Check{calm(atLeast(0.999, "all calls", every)), calm(hedgedNeverFail), outWithin(2 * time.Second), backWithin(30 * time.Second)},
	}
}

// loss is a row in which one link loses packets at random.
func loss(name string, share float64) Row {
	return Row{
		Name: name, Promise: fmt.Sprintf("the link of one instance loses %g %% of the packets at random: at least 99.9 %%; every call ends by its deadline", share*100),
		Needs: []Need{Packets},
		Short: Params{Before: 2 * time.Second, Fault: 6 * time.Second, After: time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: 3 * time.Minute, After: 30 * time.Second},
		Inject: func(ctx context.Context, e *Env) error {
			e.Begin(fmt.Sprintf("the link of %s loses %g %%", e.Victim().ID, share*100))
			if err := e.Network.Lose(e.Victim().Port, share); err != nil {
				return err
			}
			err := e.Wait(ctx, e.Params.Fault)
			err = errors.Join(err, e.Network.Heal())
			e.Heal("the link is well")
			return err
		},
		Checks: []Check{calm(atLeast(0.999, "all calls", every))},
	}
}

func blackoutRow() Row {
	return Row{
		Name: "blackout", Promise: "all instances unreachable: every call ends by its deadline; recovery within 5 s; attempts at most 1.1 times the calls",
		Needs: []Need{Packets},
		Short: Params{Before: 2 * time.Second, Fault: 5 * time.Second, After: 8 * time.Second},
		Full:  Params{Before: 30 * time.Second, Fault: 30 * time.Second, After: time.Minute},
		Inject: func(ctx context.Context, e *Env) error {
			e.Begin("all instances are unreachable")
			for _, i := range e.All() {
				if err := errors.Join(e.Network.To(i.Port), e.Network.From(i.Port)); err != nil {
					return err
				}
			}
			err := e.Wait(ctx, e.Params.Fault)
			err = errors.Join(err, e.Network.Heal())
			e.Heal("packets pass again")
			return err
		},
		Checks: []Check{attemptsAtMost(1.1), recoveryWithin(5 * time.Second)},
	}
}
