package keelson

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc/resolver"

	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/discovery/consul"
	"github.com/keelson-dev/keelson/discovery/file"
)

// DiscoveryConfig says where services are registered and found.
type DiscoveryConfig struct {
	Driver string `yaml:"driver" default:"none" enum:"none,file,consul" doc:"registry of the instances"`
	File   struct {
		Dir string `yaml:"dir" default:".keelson/discovery" doc:"directory of the file driver, one JSON file per instance"`
	} `yaml:"file"`
	Consul ConsulConfig `yaml:"consul"`
	// CacheDir keeps a copy of the last good list of each target, in a directory
	// for each service, so that a process can start while the registry is away.
	CacheDir string       `yaml:"cache_dir" doc:"directory for copies of the last good lists, with which a process starts while the registry is away; default with consul: keelson/discovery in the user's cache directory; off: none"`
	Subset   SubsetConfig `yaml:"subset"`
}

// SubsetConfig keeps the clients of a large fleet from connecting to all of it.
type SubsetConfig struct {
	Above int `yaml:"above" default:"100" min:"1" doc:"largest number of instances to all of which a client connects"`
	Size  int `yaml:"size" default:"20" min:"2" doc:"number of instances to which a client of a larger fleet connects, its own zone's first"`
}

// ConsulConfig is about the consul driver. The zero value asks the agent of the
// host.
type ConsulConfig struct {
	Address    string        `yaml:"address" default:"http://127.0.0.1:8500" doc:"agent: http://host:port, https://host:port or unix:///path"`
	Token      Secret        `yaml:"token" doc:"ACL token; needs service:write for the registered service, service:read and node:read for those called"`
	TokenFile  string        `yaml:"token_file" doc:"file that holds the token instead; read for each request"`
	Datacenter string        `yaml:"datacenter" doc:"where services are looked for; default: the agent's own"`
	TLS        ClientTLS     `yaml:"tls"`
	Tags       []string      `yaml:"tags" doc:"tags of the registered instance; targets select by them, as in consul:///user?tag=v1"`
	Wait       time.Duration `yaml:"wait" default:"1m" min:"1s" max:"10m" doc:"how long a blocking query waits for a change"`
	MaxStale   time.Duration `yaml:"max_stale" default:"10s" min:"1s" doc:"age from which the answer of a server without a leader takes no instance away"`
	Check      ConsulCheck   `yaml:"check"`
}

// ConsulCheck is how Consul's agent checks the registered instance: over gRPC,
// on the ops listener.
type ConsulCheck struct {
	Interval        time.Duration `yaml:"interval" default:"5s" min:"1s" doc:"time between checks of the ops listener"`
	Timeout         time.Duration `yaml:"timeout" default:"2s" min:"100ms" doc:"time given to a check"`
	DeregisterAfter time.Duration `yaml:"deregister_after" default:"10m" min:"1m" doc:"the agent forgets an instance that was critical for so long"`
	ServerName      string        `yaml:"server_name" doc:"name expected in the certificate of the ops listener, when it has TLS"`
	SkipVerify      bool          `yaml:"skip_verify" doc:"take any certificate of the ops listener: the agent knows only the authorities of its own configuration"`
}

// resolverConfig is how the registry's answers are treated.
func (c *core) resolverConfig() discovery.Config {
	d := &c.cfg.Discovery
	return discovery.Config{
		CacheDir: c.cacheDir(),
		Subset:   discovery.Subset{Above: d.Subset.Above, Size: d.Subset.Size, Seed: c.cfg.InstanceID, Zone: c.cfg.Zone},
	}
}

// cacheDir is where the lists are copied to; empty: nowhere.
func (c *core) cacheDir() string {
	dir := c.cfg.Discovery.CacheDir
	if dir == "" && c.cfg.Discovery.Driver == "consul" {
		home, err := os.UserCacheDir()
		if err != nil {
			c.log.Warn("no copies of the last good lists are kept; set discovery.cache_dir, or off", "error", err)
			return ""
		}
		dir = filepath.Join(home, "keelson", "discovery")
	}
	if dir == "" || dir == off {
		return ""
	}
	return filepath.Join(dir, c.name)
}

// newDriver makes the registry that the configuration names; nil is none.
func (c *core) newDriver() (discovery.Driver, error) {
	d := &c.cfg.Discovery
	switch {
	case c.opts.driver != nil:
		return c.opts.driver, nil
	case d.Driver == "file":
		driver, err := file.New(d.File.Dir, file.Config{})
		if err != nil {
			return nil, fmt.Errorf("discovery.file.dir: %w", err)
		}
		return driver, nil
	case d.Driver == "consul":
		driver, err := consul.New(c.consulConfig(), consul.WithLogger(c.log), consul.WithRegisterer(c.tel.registry))
		if err != nil {
			return nil, fmt.Errorf("discovery.consul: %w", err)
		}
		return driver, nil
	}
	return nil, nil //nolint:nilnil // no registry is a choice
}

func (c *core) consulConfig() consul.Config {
	f := &c.cfg.Discovery.Consul
	return consul.Config{
		Address: f.Address, Token: f.Token.Reveal(), TokenFile: f.TokenFile, Datacenter: f.Datacenter,
		CAFile: f.TLS.CAFile, CertFile: f.TLS.CertFile, KeyFile: f.TLS.KeyFile, ServerName: f.TLS.ServerName,
		Insecure: c.cfg.Insecure, Tags: f.Tags, Wait: f.Wait, MaxStale: f.MaxStale,
		Check: consul.CheckConfig{
			Interval: f.Check.Interval, Timeout: f.Check.Timeout, DeregisterAfter: f.Check.DeregisterAfter,
			TLS: c.cfg.Ops.TLS.enabled(), ServerName: f.Check.ServerName, SkipVerify: f.Check.SkipVerify,
		},
	}
}

// newResolvers wraps the registry, and gRPC's own schemes, so that the last good
// list is kept whatever a target is resolved by.
func (c *core) newResolvers() []resolver.Builder {
	opts := []discovery.Option{discovery.WithLogger(c.log), discovery.WithRegisterer(c.tel.registry), discovery.WithTargets(c.targets)}
	var builders []resolver.Builder
	for _, scheme := range []string{"dns", "passthrough", "unix"} {
		if b := resolver.Get(scheme); b != nil {
			builders = append(builders, discovery.Wrap(b, discovery.Config{}, opts...))
		}
	}
	if c.driver != nil {
		builders = append(builders, discovery.NewResolver(c.driver, c.resolverConfig(), opts...))
	}
	return builders
}
