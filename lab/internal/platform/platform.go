// Package platform runs the real platform as processes on the loopback
// interface (user and audit instances, PostgreSQL, Consul), and does to it what
// happens to platforms: processes crash, hang and are replaced, packets are
// lost, servers are slow.
package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/discovery/file"
)

// Config says what to run.
type Config struct {
	// Root is the directory of the Keelson module.
	Root string
	// Registry is consul or file.
	Registry string
	// Programs are the packages of the services, under Root. Default: user and
	// audit.
	Programs map[string]string
	// Log is told what is going on.
	Log func(format string, args ...any)
}

// Front is what stands between the clients and each user instance: before all of
// them, so that none is slower than the others before a fault.
type Front string

// The fronts.
const (
	Direct Front = ""
	TCP    Front = "tcp"
	GRPC   Front = "grpc"
)

// Shape is which instances run, and how.
type Shape struct {
	// Users and Audits are how many.
	Users, Audits int
	// Front is in front of the user instances.
	Front Front
	// StoreProxy puts a TCP proxy between all instances and PostgreSQL.
	StoreProxy bool
	// Servers is how many Consul servers there are, 1 or 3; 0: 1.
	Servers int
	// Env are settings of all instances, separated by spaces.
	Env string
}

// Platform is the running platform. It belongs to one goroutine; what is done
// to instances may be done by others.
type Platform struct {
	// Dir holds logs and data.
	Dir string
	// Network drops packets; nil, and NetworkErr says why, where that cannot be.
	Network    *Network
	NetworkErr error
	// Postgres and Consul are the servers; Consul is nil with the file registry.
	Postgres *Postgres
	Consul   *Consul
	// Store is the proxy in front of PostgreSQL, if the shape has one.
	Store *Proxy

	cfg       Config
	spawn     *spawner
	ports     *ports
	programs  map[string]string
	shape     Shape
	users     []*Instance
	audits    []*Instance
	storePort int
	spares    int
	clientLog *os.File
}

// Database is the name of the database of all instances.
const Database = "lab"

// Open builds the programs and starts PostgreSQL. Close it. When it fails nothing
// is left; the error has what the logs say.
func Open(ctx context.Context, cfg Config) (*Platform, error) {
	dir, err := os.MkdirTemp("", "keelson-lab-")
	if err != nil {
		return nil, err
	}
	p := &Platform{Dir: dir, cfg: cfg, spawn: newSpawner(), ports: newPorts(), programs: map[string]string{}}
	if p.clientLog, err = os.Create(filepath.Join(dir, "client.log")); err != nil {
		return nil, err
	}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, p.Close(), p.Remove())
	}
	return p, nil
}

func (p *Platform) open(ctx context.Context) error {
	if p.cfg.Programs == nil {
		p.cfg.Programs = map[string]string{"user": "services/user/cmd/user", "audit": "services/audit/cmd/audit"}
	}
	for name, pkg := range p.cfg.Programs {
		p.cfg.Log("building %s", pkg)
		program, err := Build(p.cfg.Root, pkg)
		if err != nil {
			return err
		}
		p.programs[name] = program
	}
	port, err := p.ports.take()
	if err != nil {
		return err
	}
	if p.storePort, err = p.ports.take(); err != nil {
		return err
	}
	p.cfg.Log("starting PostgreSQL")
	if p.Postgres, err = startPostgres(ctx, p.spawn, p.Dir, port); err != nil {
		return err
	}
	p.Network, p.NetworkErr = NewNetwork()
	return p.Postgres.Exec(ctx, "postgres", "CREATE DATABASE "+Database+" TEMPLATE template0 ENCODING 'UTF8'")
}

// Users and Audits are the instances.
func (p *Platform) Users() []*Instance { return p.users }

// Audits are the instances of the audit service.
func (p *Platform) Audits() []*Instance { return p.audits }

// All are all instances, users first.
func (p *Platform) All() []*Instance { return slices.Concat(p.users, p.audits) }

// HasAudit tells whether the platform has an audit service.
func (p *Platform) HasAudit() bool { return p.programs["audit"] != "" }

// WantsConsul tells whether the registry is Consul.
func (p *Platform) WantsConsul() bool { return p.cfg.Registry == "consul" }

// Ensure makes the platform have a shape: what runs as it should is kept, the
// rest is started again.
func (p *Platform) Ensure(ctx context.Context, s Shape) error {
	s.Servers = max(s.Servers, 1)
	if !p.HasAudit() {
		s.Audits = 0
	}
	if p.Network != nil {
		if err := p.Network.Heal(); err != nil {
			return err
		}
	}
	if s != p.shape {
		if err := p.rebuild(ctx, s); err != nil {
			return err
		}
	}
	var starts []func() error
	for _, i := range p.All() {
		i.heal(ctx)
		if !i.running() {
			starts = append(starts, func() error { return i.Start(ctx) })
		}
	}
	if err := group(starts...); err != nil {
		return err
	}
	return p.Registered(ctx)
}

// heal takes away the faults of an instance that runs.
func (i *Instance) heal(ctx context.Context) {
	i.Thaw()
	if i.TCP != nil {
		i.TCP.Heal(ctx)
	}
	if i.GRPC != nil {
		i.GRPC.Slow(0)
		i.GRPC.Fail(0)
	}
}

// rebuild replaces the instances by those of a shape.
func (p *Platform) rebuild(ctx context.Context, s Shape) error {
	if err := p.stopAll(); err != nil {
		return err
	}
	if err := p.consul(ctx, s.Servers); err != nil {
		return err
	}
	if s.StoreProxy {
		var err error
		if p.Store, err = newProxy("store", p.storePort, p.Postgres.Port); err != nil {
			return err
		}
	}
	p.users, p.audits, p.shape = nil, nil, Shape{}
	for n := range s.Users + s.Audits {
		i, err := p.instance(s, n)
		if err != nil {
			return err
		}
		if n < s.Users {
			p.users = append(p.users, i)
		} else {
			p.audits = append(p.audits, i)
		}
	}
	p.shape = s
	return nil
}

// consul makes the registry have so many servers.
func (p *Platform) consul(ctx context.Context, servers int) error {
	if p.cfg.Registry != "consul" || p.Consul != nil && len(p.Consul.members) == servers {
		return nil
	}
	if p.Consul != nil {
		p.Consul.close()
	}
	p.cfg.Log("starting Consul (%d)", servers)
	var err error
	p.Consul, err = startConsul(ctx, p.spawn, p.cfg.Root, filepath.Join(p.Dir, fmt.Sprintf("consul%d-%d", servers, time.Now().UnixNano())), p.ports, servers)
	return err
}

// Client makes a client that finds the instances as they find each other.
func (p *Platform) Client(name string, opts ...keelson.Option) (*keelson.Client, error) {
	cfg, err := p.clientConfig()
	if err != nil {
		return nil, err
	}
	return keelson.NewClient(name, cfg, append(opts, keelson.WithLogOutput(p.clientLog))...)
}

// Registered waits until the registry has every instance that runs, healthy.
func (p *Platform) Registered(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var missing string
	err := until(ctx, 50*time.Millisecond, func() bool {
		missing = ""
		for _, i := range p.All() {
			if i.running() && !p.Lists(ctx, i) {
				missing = cmp.Or(missing, i.ID)
			}
		}
		return missing == ""
	})
	if err != nil {
		return fmt.Errorf("wait for %s in the registry: %w", missing, err)
	}
	return nil
}

// Lists tells whether the registry has an instance, healthy.
func (p *Platform) Lists(ctx context.Context, i *Instance) bool {
	if p.Consul != nil {
		return p.Consul.lists(ctx, i)
	}
	list, _ := file.List(p.registry())
	for _, in := range list {
		if in.ID == i.ID && in.PID == i.proc.PID {
			return true
		}
	}
	return false
}

// stopAll drains all instances and ends their proxies.
func (p *Platform) stopAll() error {
	var stops []func() error
	for _, i := range p.All() {
		stops = append(stops, i.Stop)
	}
	err := group(stops...)
	for _, i := range p.All() {
		if i.TCP != nil {
			i.TCP.close()
		}
		if i.GRPC != nil {
			i.GRPC.Close()
		}
	}
	if p.Store != nil {
		p.Store.close()
		p.Store = nil
	}
	return err
}

// Close ends everything. The directory stays; see [Platform.Remove].
func (p *Platform) Close() error {
	for _, i := range p.All() {
		i.Kill()
	}
	err := p.stopAll()
	if p.Consul != nil {
		p.Consul.close()
	}
	if p.Postgres != nil {
		err = errors.Join(err, p.Postgres.close())
	}
	if p.Network != nil {
		err = errors.Join(err, p.Network.Close())
	}
	p.spawn.close()
	return errors.Join(err, p.clientLog.Close())
}

// Remove removes logs and data.
func (p *Platform) Remove() error { return os.RemoveAll(p.Dir) }
