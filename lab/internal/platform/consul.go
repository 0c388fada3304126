package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"
)

// Consul is one or three Consul servers on the loopback interface.
type Consul struct {
	spawn   *spawner
	bin     string
	dir     string
	members []*Member
}

// Member is one Consul server.
type Member struct {
	// Address is host:port of its HTTP API.
	Address string

	consul *Consul
	number int
	ports  [3]int // HTTP, server, gossip
	proc   *Process
}

// errNoConsul says what is missing.
var errNoConsul = errors.New("find Consul: .cache/bin/consul is missing; build it with tools/install.sh consul, or leave out what needs it with -registry file")

// startConsul starts n servers and waits until they have a leader.
func startConsul(ctx context.Context, spawn *spawner, root, dir string, p *ports, n int) (*Consul, error) {
	c := &Consul{spawn: spawn, bin: filepath.Join(root, ".cache", "bin", "consul"), dir: dir}
	if _, err := os.Stat(c.bin); err != nil {
		return nil, errNoConsul
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for i := range n {
		m := &Member{consul: c, number: i}
		for j := range m.ports {
			port, err := p.take()
			if err != nil {
				return nil, err
			}
			m.ports[j] = port
		}
		m.Address = fmt.Sprintf("127.0.0.1:%d", m.ports[0])
		c.members = append(c.members, m)
	}
	for _, m := range c.members {
		if err := m.launch(); err != nil {
			c.close()
			return nil, err
		}
	}
	if err := c.Ready(ctx); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// Members are the servers; the first is the agent that instances and clients
// speak to.
func (c *Consul) Members() []*Member { return c.members }

// API is a client of a server.
func (m *Member) API() (*api.Client, error) {
	cfg := api.DefaultNonPooledConfig()
	cfg.Address = m.Address
	return api.NewClient(cfg)
}

// Ready waits until every server that runs names a leader that runs, and has a
// vote: one that has just come back has none for a while, and without it the
// death of the next leader leaves no majority.
func (c *Consul) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, m := range c.members {
		if !m.runs() {
			continue
		}
		client, err := m.API()
		if err != nil {
			return err
		}
		err = until(ctx, 50*time.Millisecond, func() bool {
			return c.led(ctx, client) && c.votes(ctx, client)
		})
		if err != nil {
			return fmt.Errorf("wait for Consul's leader: %w\n%s", err, m.proc.tail())
		}
	}
	return nil
}

// led tells whether the leader that a server names is one that runs.
func (c *Consul) led(ctx context.Context, client *api.Client) bool {
	leader, err := client.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
	return err == nil && slices.ContainsFunc(c.members, func(m *Member) bool { return m.runs() && m.raft() == leader })
}

// votes tells whether all servers that run have a vote.
func (c *Consul) votes(ctx context.Context, client *api.Client) bool {
	raft, err := client.Operator().RaftGetConfiguration((&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return false
	}
	for _, m := range c.members {
		voter := func(s *api.RaftServer) bool { return s.Address == m.raft() && s.Voter }
		if m.runs() && !slices.ContainsFunc(raft.Servers, voter) {
			return false
		}
	}
	return true
}

func (m *Member) runs() bool { return m.proc != nil && !ended(m.proc) }

// raft is where the server speaks to the others.
func (m *Member) raft() string { return fmt.Sprintf("127.0.0.1:%d", m.ports[1]) }

// Leader returns the server that leads, and another one.
func (c *Consul) Leader() (leader, other *Member, err error) {
	client, err := c.members[0].API()
	if err != nil {
		return nil, nil, err
	}
	address, err := client.Status().Leader()
	if err != nil {
		return nil, nil, fmt.Errorf("ask Consul for its leader: %w", err)
	}
	for _, m := range c.members {
		if address == m.raft() {
			leader = m
		} else {
			other = m
		}
	}
	if leader == nil {
		return nil, nil, fmt.Errorf("ask Consul for its leader: %q is none of the lab's servers", address)
	}
	return leader, other, nil
}

// MoveLeader makes another server lead than the first, and returns it.
func (c *Consul) MoveLeader(ctx context.Context) (*Member, error) {
	client, err := c.members[0].API()
	if err != nil {
		return nil, err
	}
	if _, err := client.Operator().RaftLeaderTransfer("", nil); err != nil {
		return nil, fmt.Errorf("move Consul's leader: %w", err)
	}
	var leader *Member
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	err = until(ctx, 50*time.Millisecond, func() bool {
		var err error
		leader, _, err = c.Leader()
		return err == nil && leader != c.members[0]
	})
	if err != nil {
		return nil, fmt.Errorf("move Consul's leader: %w", err)
	}
	return leader, nil
}

// launch starts the server on its data.
func (m *Member) launch() error {
	args := []string{
		"agent", "-server", "-bind", "127.0.0.1", "-client", "127.0.0.1", "-node", fmt.Sprintf("lab%d", m.number), "-data-dir", m.data(),
		"-bootstrap-expect", fmt.Sprint(len(m.consul.members)), "-http-port", fmt.Sprint(m.ports[0]), "-server-port", fmt.Sprint(m.ports[1]), "-serf-lan-port", fmt.Sprint(m.ports[2]),
		"-serf-wan-port", "-1", "-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1", "-log-level", "warn",
		"-hcl", "performance { raft_multiplier = 1 }", "-hcl", `autopilot { server_stabilization_time = "1s" }`, "-hcl", "limits { http_max_conns_per_client = 1000 }", "-hcl", "disable_update_check = true",
	}
	for _, other := range m.consul.members {
		if other != m {
			args = append(args, "-retry-join", fmt.Sprintf("127.0.0.1:%d", other.ports[2]), "-retry-interval", "1s")
		}
	}
	var err error
	m.proc, err = m.consul.spawn.start(fmt.Sprintf("consul-%d", m.number), m.consul.dir, exec.CommandContext(context.Background(), m.consul.bin, args...)) //nolint:gosec // our own tool
	return err
}

// data is the server's directory.
func (m *Member) data() string {
	return filepath.Join(m.consul.dir, fmt.Sprintf("consul-%d", m.number))
}

// Kill ends the server without warning.
func (m *Member) Kill() { m.proc.Kill() }

// Wipe removes what a killed server knew: it starts empty, with its indexes at
// the begin.
func (m *Member) Wipe() error { return os.RemoveAll(m.data()) }

// Start starts a killed server again and waits until there is a leader.
func (m *Member) Start(ctx context.Context) error {
	if err := m.launch(); err != nil {
		return err
	}
	return m.consul.Ready(ctx)
}

// close ends all servers; their data are within the lab's directory.
func (c *Consul) close() {
	for _, m := range c.members {
		if m.proc != nil && !ended(m.proc) {
			m.proc.Kill()
		}
	}
}

// lists tells whether an instance is registered and passing.
func (c *Consul) lists(ctx context.Context, i *Instance) bool {
	for _, m := range c.members {
		client, err := m.API()
		if err != nil || ended(m.proc) {
			continue
		}
		entries, _, err := client.Health().Service(i.Service, "", true, (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			continue
		}
		for _, e := range entries {
			if e.Service.ID == i.Service+":"+i.ID && fmt.Sprintf("127.0.0.1:%d", e.Service.Port) == i.Advertised {
				return true
			}
		}
	}
	return false
}
