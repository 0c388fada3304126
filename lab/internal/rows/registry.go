package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/keelson-dev/keelson/lab/internal/platform"
)

// registryRows are the faults of Consul.
func registryRows() []Row {
	return []Row{
		{
			Name: "consul-down", Promise: "Consul agent down: 0 failed calls; re-registered within 15 s; scale-up resumes within 5 s of return",
			Needs:  []Need{Consul},
			Short:  Params{Before: 2 * time.Second, Fault: 5 * time.Second, After: 2 * time.Second},
			Full:   Params{Before: 30 * time.Second, Fault: 10 * time.Minute, After: 30 * time.Second},
			Inject: func(ctx context.Context, e *Env) error { return outage(ctx, e, false) },
			Checks: []Check{noneFailed},
		},
		{
			Name: "consul-empty", Promise: "Consul restarted empty, its indexes at the begin: 0 failed calls; re-registered within 15 s; scale-up resumes within 5 s of return",
			Needs:  []Need{Consul},
			Short:  Params{Before: 2 * time.Second, Fault: 3 * time.Second, After: 2 * time.Second},
			Full:   Params{Before: 30 * time.Second, Fault: time.Minute, After: time.Minute},
			Inject: func(ctx context.Context, e *Env) error { return outage(ctx, e, true) },
			Checks: []Check{noneFailed},
		},
		{
			Name: "consul-index", Promise: "Consul restored from a snapshot, its indexes going back: 0 failed calls; scale-up is seen within 5 s",
			Needs:  []Need{Consul},
			Short:  Params{Before: 2 * time.Second, Fault: time.Second, After: 2 * time.Second},
			Full:   Params{Before: 30 * time.Second, Fault: 30 * time.Second, After: time.Minute},
			Inject: indexBack, Checks: []Check{noneFailed},
		},
		{
			Name: "consul-leader", Promise: "3 Consul servers, the leader killed: 0 failed calls; scale-up resumes within 5 s of the next leader",
			Needs:  []Need{Consul},
			Shape:  platform.Shape{Servers: 3},
			Short:  Params{Before: 2 * time.Second, Fault: 2 * time.Second, After: 2 * time.Second},
			Full:   Params{Before: 30 * time.Second, Fault: time.Minute, After: 30 * time.Second},
			Inject: killLeader, Checks: []Check{noneFailed},
		},
		{
			Name: "flap", Promise: "a registry that flaps once a second: at least 99.9 %; picker rebuilds bounded",
			Needs:  []Need{Consul},
			Short:  Params{Before: 2 * time.Second, Fault: 8 * time.Second, After: time.Second},
			Full:   Params{Before: 30 * time.Second, Fault: 5 * time.Minute, After: 30 * time.Second},
			Inject: flap, Checks: []Check{calm(atLeast(0.999, "all calls", every))},
		},
		{
			Name: "all-critical", Promise: "all checks critical at once: at least 99.9 %; picker rebuilds bounded",
			Needs:  []Need{Consul},
			Short:  Params{Before: 2 * time.Second, Fault: 6 * time.Second, After: time.Second},
			Full:   Params{Before: 30 * time.Second, Fault: 5 * time.Minute, After: 30 * time.Second},
			Inject: allCritical, Checks: []Check{calm(atLeast(0.999, "all calls", every))},
		},
	}
}

const (
	// registerLimit and scaleLimit are what is promised after Consul's return.
	registerLimit = 15 * time.Second
	scaleLimit    = 5 * time.Second
	// patience is how long the lab looks before it calls something never.
	patience = 40 * time.Second
)

// outage takes the agent away, starts one more instance meanwhile, and brings
// the agent back, with or without what it knew.
func outage(ctx context.Context, e *Env, wipe bool) error {
	agent := e.Consul.Members()[0]
	spare, err := e.Spare()
	if err != nil {
		return err
	}
	e.Begin("Consul is killed")
	agent.Kill()
	if wipe {
		if err := agent.Wipe(); err != nil {
			return err
		}
	}
	if err := spare.Launch(); err != nil {
		return err
	}
	defer e.release(spare)
	if err := errors.Join(spare.Ready(ctx), e.Wait(ctx, e.Params.Fault), agent.Start(ctx)); err != nil {
		return err
	}
	e.Heal("Consul is back")
	e.scaled(ctx, spare)
	e.registered(ctx)
	return nil
}

// release stops the spare instance in order; its calls are not to fail either.
func (e *Env) release(spare *platform.Instance) {
	if err := spare.Stop(); err != nil {
		e.Found(verdict("the spare instance drains", false, "%v", err))
	}
}

// scaled demands that a new instance gets calls soon.
func (e *Env) scaled(ctx context.Context, spare *platform.Instance) {
	seen := len(e.History.Calls())
	took, ok := e.Until(ctx, patience, func() bool {
		calls := e.History.Calls()
		for _, c := range calls[seen:] {
			if c.SentTo(map[string]bool{spare.Advertised: true}) {
				return true
			}
		}
		seen = len(calls)
		return false
	})
	v := verdict("scale-up resumes within 5 s", ok && took <= scaleLimit, "a new instance got its first call after %s (%t)", took.Round(10*time.Millisecond), ok)
	v.Timed = ok // never is never, in every form
	e.Found(v)
}

// registered demands that every instance is registered again soon.
func (e *Env) registered(ctx context.Context) {
	begun := e.spans[len(e.spans)-1].To
	_, ok := e.Until(ctx, patience, func() bool {
		for _, i := range e.All() {
			if !e.Lists(ctx, i) {
				return false
			}
		}
		return true
	})
	took := e.History.Now() - begun
	v := verdict("registered again within 15 s", ok && took <= registerLimit, "all instances were registered and passing after %s (%t)", took.Round(10*time.Millisecond), ok)
	v.Timed = ok
	e.Found(v)
}

// indexBack saves Consul's state, makes its indexes grow, and restores the state.
func indexBack(ctx context.Context, e *Env) error {
	client, err := e.Consul.Members()[0].API()
	if err != nil {
		return err
	}
	saved, _, err := client.Snapshot().Save(nil)
	if err != nil {
		return fmt.Errorf("save a snapshot of Consul: %w", err)
	}
	defer saved.Close()
	snapshot, err := io.ReadAll(saved)
	if err != nil {
		return fmt.Errorf("save a snapshot of Consul: %w", err)
	}
	for n := range 50 {
		service := &api.AgentServiceRegistration{ID: fmt.Sprintf("churn-%d", n), Name: "churn", Port: 1}
		if err := errors.Join(client.Agent().ServiceRegister(service), client.Agent().ServiceDeregister(service.ID)); err != nil {
			return fmt.Errorf("make Consul's index grow: %w", err)
		}
	}
	if err := e.churn(ctx); err != nil {
		return err
	}
	_, before, err := client.Health().Service("user", "", false, nil)
	if err != nil {
		return err
	}
	e.Begin("Consul's state is restored")
	if err := client.Snapshot().Restore(nil, bytes.NewReader(snapshot)); err != nil {
		return fmt.Errorf("restore a snapshot of Consul: %w", err)
	}
	if err := e.Wait(ctx, e.Params.Fault); err != nil {
		return err
	}
	_, after, err := client.Health().Service("user", "", false, nil)
	if err != nil {
		return err
	}
	e.Heal("Consul's state is restored")
	e.Fact(fmt.Sprintf("the index of the service went from %d to %d", before.LastIndex, after.LastIndex))
	spare, err := e.Spare()
	if err != nil {
		return err
	}
	if err := spare.Start(ctx); err != nil {
		return err
	}
	defer e.release(spare)
	e.scaled(ctx, spare)
	e.registered(ctx)
	return nil
}

// churn makes the index of the service itself grow: an instance comes and goes.
func (e *Env) churn(ctx context.Context) error {
	spare, err := e.Spare()
	if err != nil {
		return err
	}
	if err := spare.Start(ctx); err != nil {
		return err
	}
	e.Until(ctx, patience, func() bool { return e.Lists(ctx, spare) })
	return spare.Stop()
}

// killLeader kills the server that leads. The agent that instances speak to is
// another one, so that only the leader is lost.
func killLeader(ctx context.Context, e *Env) error {
	if err := e.Consul.Ready(ctx); err != nil {
		return err
	}
	leader, _, err := e.Consul.Leader()
	if err != nil {
		return err
	}
	if leader == e.Consul.Members()[0] {
		if leader, err = e.Consul.MoveLeader(ctx); err != nil {
			return err
		}
	}
	spare, err := e.Spare()
	if err != nil {
		return err
	}
	e.Begin("Consul's leader is killed")
	leader.Kill()
	begun := time.Now()
	if err := e.Consul.Ready(ctx); err != nil {
		return err
	}
	e.Fact(fmt.Sprintf("Consul had another leader after %s", time.Since(begun).Round(10*time.Millisecond)))
	if err := spare.Start(ctx); err != nil {
		return err
	}
	defer e.release(spare)
	e.scaled(ctx, spare)
	if err := errors.Join(e.Wait(ctx, e.Params.Fault), leader.Start(ctx)); err != nil {
		return err
	}
	e.Heal("the killed server is back")
	e.registered(ctx)
	return nil
}

// flap makes one instance after the other critical and passing, once a second.
func flap(ctx context.Context, e *Env) error {
	client, err := e.Consul.Members()[0].API()
	if err != nil {
		return err
	}
	before := e.metrics()
	e.Begin("the registry flaps")
	users := e.Users()
	flips := 0
	for begun := time.Now(); time.Since(begun) < e.Params.Fault; flips++ {
		i := users[e.Rng.IntN(len(users))]
		err := client.Agent().EnableServiceMaintenance(consulID(i), "the lab")
		err = errors.Join(err, e.Wait(ctx, 500*time.Millisecond), client.Agent().DisableServiceMaintenance(consulID(i)), e.Wait(ctx, 500*time.Millisecond))
		if err != nil {
			return fmt.Errorf("make the registry flap: %w", err)
		}
	}
	e.Heal("the registry is steady")
	e.rebuilds(before, 2*flips, "changes of the registry")
	return nil
}

// allCritical makes every instance of both services critical at once.
func allCritical(ctx context.Context, e *Env) error {
	client, err := e.Consul.Members()[0].API()
	if err != nil {
		return err
	}
	before := e.metrics()
	e.Begin("all checks are critical")
	for _, i := range e.All() {
		if err := client.Agent().EnableServiceMaintenance(consulID(i), "the lab"); err != nil {
			return fmt.Errorf("make all checks critical: %w", err)
		}
	}
	err = e.Wait(ctx, e.Params.Fault)
	for _, i := range e.All() {
		err = errors.Join(err, client.Agent().DisableServiceMaintenance(consulID(i)))
	}
	e.Heal("all checks pass")
	e.rebuilds(before, 2*len(e.All()), "changes of the registry")
	return err
}

// rebuilds demands that pickers are rebuilt no more than a few times per change:
// each of the two connections may rebuild on it, and on what follows from it for
// the connections to the instance.
func (e *Env) rebuilds(before map[string]float64, changes int, of string) {
	const each, spare = 10, 20
	n := sum(e.metrics(), "keelson_balancer_picker_rebuilds_total") - sum(before, "keelson_balancer_picker_rebuilds_total")
	e.Found(verdict("picker rebuilds bounded", int(n) <= each*changes+spare, "%.0f rebuilds after %d %s", n, changes, of))
}

// consulID is the ID of an instance in Consul.
func consulID(i *platform.Instance) string { return i.Service + ":" + i.ID }
