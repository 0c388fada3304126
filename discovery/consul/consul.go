// Package consul keeps instances in HashiCorp Consul and finds them there.
//
// Dial targets are consul:///service?tag=v1&tag=eu&dc=east: all tags must be there, and the datacenter is by default that of the agent.
// Namespaces and partitions exist in Consul Enterprise only and are refused by name.
//
// # In the registry
//
// An instance is a service of the agent: name, address and port, Config.Tags, the instance's weight as Consul's own weight (and half of it
// while a check warns), and metadata: version, zone and weight under these names, what else an instance has under names that begin with
// "keelson-", and the instance's own metadata as it is. The ID is "service:instance", in lower case and escaped, because an agent knows
// IDs of all services together and the catalog ignores case.
//
// The agent asks the instance's ops listener for its health over gRPC; an instance without one is checked by connecting to it. A new
// instance counts as passing until its first check, because it registers when it serves. One failed check is a warning, two in a row are
// critical, and an instance that is critical for CheckConfig.DeregisterAfter is forgotten by the agent.
//
// # Reading
//
// A watch is a chain of blocking queries with stale reads: any server may answer. The rules of the index are kept (it may go backwards, it
// is never 0, and an answer is no proof of a change), and at most four queries a second are sent after a burst of ten, whatever the registry does. An answer is
// taken only when it is one: statuses other than 200, other content than JSON, truncated lists, and lists without an index are errors. An
// empty list must be confirmed by a consistent read, and is an error when ACLs may have emptied it. Passing instances have their weight,
// warning ones their warning weight, and critical ones (and those in maintenance) are not in the list.
//
// # Configuration
//
// The environment variables of Consul's own tools (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN and others), and those of HTTP proxies, are not
// used: where a service registers is said in its own configuration and nowhere else. The token and the files of TLS are read again for
// each call of the driver, so they may be rotated.
//
// An agent allows 200 connections per address (limits.http_max_conns_per_client); each watch and each registration of a host takes one.
package consul

import (
	"fmt"
	"log/slog"

	"github.com/keelson-dev/keelson/discovery"
)

// Scheme is the scheme of dial targets: consul:///service.
const Scheme = "consul"

// Driver is a discovery.Driver on a Consul agent. It holds no connection between calls and is safe for concurrent use.
type Driver struct {
	cfg Config
	at  endpoint
	log *slog.Logger
	met metrics
}

var _ discovery.Driver = (*Driver)(nil)

// New returns the driver for an agent. It does no I/O: an agent that is away, and files that are not there, show in the calls. The error
// names every field of the configuration that is at fault.
func New(cfg Config, opts ...Option) (*Driver, error) {
	cfg = cfg.withDefaults()
	at, err := cfg.validate()
	if err != nil {
		return nil, fmt.Errorf("consul registry: %w", err)
	}
	o := newOptions(opts)
	return &Driver{cfg: cfg, at: at, log: o.log, met: newMetrics(o.reg)}, nil
}

// Scheme implements discovery.Watcher.
func (d *Driver) Scheme() string { return Scheme }

// String implements discovery.Watcher: the address of the agent, the datacenter if one is configured, and no secret. Copies of lists on disk
// are kept under it.
func (d *Driver) String() string {
	if d.cfg.Datacenter != "" {
		return "consul registry " + d.at.text + " (datacenter " + d.cfg.Datacenter + ")"
	}
	return "consul registry " + d.at.text
}
