package consultest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// Cluster is several agents, all servers, of which one leads. Its methods are not safe for concurrent use.
type Cluster struct {
	// Agents are all of them, running or not, in the order of their names.
	Agents []*Agent

	dir string
	own bool
}

// StartCluster starts n servers and returns when each knows the leader. The caller closes it. ctx bounds the start only.
func StartCluster(ctx context.Context, n int, cfg Config) (*Cluster, error) {
	for try := 1; ; try++ {
		c, err := startCluster(ctx, n, cfg)
		// Another process may take a port in between. A directory that is the caller's
		// holds what the failed servers have written by then.
		if err == nil || errors.Is(err, ErrMissing) || cfg.Dir != "" || ctx.Err() != nil || try == 3 {
			return c, err
		}
	}
}

func startCluster(ctx context.Context, n int, cfg Config) (*Cluster, error) {
	c := &Cluster{dir: cfg.Dir}
	if c.dir == "" {
		var err error
		if c.dir, err = os.MkdirTemp("", "keelson-consul-"); err != nil {
			return nil, err
		}
		c.own = true
	}
	if err := c.start(ctx, n, cfg); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, n int, cfg Config) error {
	cfg.Dir = c.dir
	for i := range n {
		a, err := prepare(cfg, "n"+strconv.Itoa(i+1), n)
		if err != nil {
			return err
		}
		c.Agents = append(c.Agents, a)
	}
	for _, a := range c.Agents {
		for _, b := range c.Agents {
			if a != b {
				a.join = append(a.join, b.ports.serf.Address())
			}
		}
		if err := a.start(); err != nil {
			return err
		}
	}
	return c.Ready(ctx)
}

// Ready waits until every running agent answers reads that need a leader.
func (c *Cluster) Ready(ctx context.Context) error {
	for _, a := range c.Agents {
		if a.PID() == 0 {
			continue
		}
		if err := a.ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Leader returns the agent that leads, as one of the running agents says.
func (c *Cluster) Leader(ctx context.Context) (*Agent, error) {
	err := errors.New("none runs")
	for _, a := range c.Agents {
		if a.PID() == 0 {
			continue
		}
		var address string
		if err = a.get(ctx, "/v1/status/leader", &address); err != nil {
			continue
		}
		for _, b := range c.Agents {
			if b.PID() != 0 && address == b.ports.server.Address() {
				return b, nil
			}
		}
		err = fmt.Errorf("%s says %q", a.name, address)
	}
	return nil, fmt.Errorf("find the leader: %w", err)
}

// KillLeader kills the leader as kill -9 does, and returns it; the others elect another one meanwhile.
func (c *Cluster) KillLeader(ctx context.Context) (*Agent, error) {
	a, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return a, a.Kill()
}

// Follower returns a running agent that does not lead.
func (c *Cluster) Follower(ctx context.Context) (*Agent, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range c.Agents {
		if a != leader && a.PID() != 0 {
			return a, nil
		}
	}
	return nil, errors.New("find a follower: only the leader runs")
}

// NewLeader waits until another agent than the given one leads.
func (c *Cluster) NewLeader(ctx context.Context, old *Agent) (*Agent, error) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		a, err := c.Leader(ctx)
		if err == nil && a != old {
			return a, a.ready(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another leader: %w (%w)", ctx.Err(), err)
		}
	}
}

// Close kills all agents and removes their directory if it is a temporary one. Closing again does nothing.
func (c *Cluster) Close() error {
	var faults []error
	for _, a := range c.Agents {
		faults = append(faults, a.Close())
	}
	if c.own {
		faults = append(faults, os.RemoveAll(c.dir))
	}
	return errors.Join(faults...)
}

// Log returns the end of what each agent has written.
func (c *Cluster) Log() string {
	var all string
	for _, a := range c.Agents {
		all += "== " + filepath.Base(a.logFile()) + "\n" + tail(a.Log()) + "\n"
	}
	return all
}
