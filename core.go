package keelson

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/internal/config"
	"github.com/keelson-dev/keelson/policy"
	"github.com/keelson-dev/keelson/ratelimit"
	"github.com/keelson-dev/keelson/target"
	"github.com/keelson-dev/keelson/telemetry/traces"
	"github.com/keelson-dev/keelson/validate"
)

// core is what the serving and the calling half have in common. It is made
// without I/O.
type core struct {
	name      string
	cfg       Config
	opts      options
	domain    string // of the errors made here
	table     *policy.Table
	tel       telemetry
	log       *slog.Logger
	validator *validate.Validator
	limiter   *ratelimit.Limiter
	driver    discovery.Driver // nil: none
	targets   *target.Registry
}

func newCore(name string, cfg Config, opts []Option) (*core, error) {
	c := &core{name: name, cfg: cfg}
	for _, o := range opts {
		o.apply(&c.opts)
	}
	c.domain = cmp.Or(c.opts.domain, name)
	if err := discovery.ValidateService(name); err != nil {
		return nil, fmt.Errorf("name of the service: %w", err)
	}
	if err := c.configure(); err != nil {
		return nil, err
	}
	if err := c.observe(); err != nil {
		return nil, err
	}
	c.targets = target.NewRegistry(balancer.Observe(
		balancer.WithLogger(c.log), balancer.WithRegisterer(c.tel.registry), balancer.WithAttempts(traces.Attempt)))
	var err error
	if c.driver, err = c.newDriver(); err != nil {
		return nil, err
	}
	c.table = policy.NewTable(policy.Linked()...)
	c.table.Add(c.opts.descriptors...)
	if err := c.applyPolicy(&c.cfg, c.cfg.source()); err != nil {
		return nil, err
	}
	if c.validator, err = validate.New(c.opts.validation...); err != nil {
		return nil, fmt.Errorf("prepare validation: %w", err)
	}
	c.limiter, err = ratelimit.New(ratelimit.Config{MaxCallers: c.cfg.Policy.MaxCallers})
	return c, err
}

// configure completes the configuration and checks it.
func (c *core) configure() error {
	var err error
	if c.cfg.loaded == nil { // otherwise what is zero was meant to be
		err = config.ApplyDefaults(&c.cfg)
	}
	if err := errors.Join(err, config.Check(&c.cfg)); err != nil {
		return err
	}
	c.cfg.Version = cmp.Or(c.cfg.Version, buildVersion())
	c.cfg.InstanceID = cmp.Or(c.cfg.InstanceID, newInstanceID(c.name, c.cfg.GRPC.Address))
	return nil
}

// newInstanceID names this process. On a fixed port the name stays the same over
// restarts, so that an instance overwrites what it left in the registry when it
// crashed; on a port that the system chooses it is new each time.
func newInstanceID(service, address string) string {
	if _, port, err := net.SplitHostPort(address); err == nil && port != "0" {
		return discovery.NewID(service, address)
	}
	var nonce [4]byte
	_, _ = rand.Read(nonce[:]) // never fails: it ends the process instead
	return discovery.NewID(service, fmt.Sprintf("127.0.0.1:%d", os.Getpid())) + "-" + hex.EncodeToString(nonce[:])
}

func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

// applyPolicy compiles the table from a configuration, or changes nothing.
// source tells where its values come from; nil: code.
func (c *core) applyPolicy(cfg *Config, source func(path string) config.Source, accept ...func(*policy.Method, *policy.Effective) error) error {
	overrides := make([]policy.Override, len(cfg.Methods))
	for i, o := range cfg.Methods {
		if source != nil {
			o.Origin = func(f policy.Field) string { return source(fmt.Sprintf("methods[%d].%s", i, f)).String() }
		}
		overrides[i] = o
	}
	return c.table.Apply(policy.Defaults{
		UnaryTimeout: cfg.Policy.Timeout, RetryAttempts: cfg.Policy.RetryAttempts,
		NoHedge: cfg.Policy.Hedge == policy.Off, NoBreaker: cfg.Policy.Breaker == policy.Off,
	}, overrides, accept...)
}

// source tells where a value of the configuration came from; nil when all of it
// was made in code.
func (cfg *Config) source() func(path string) config.Source {
	if cfg.loaded == nil {
		return nil
	}
	return cfg.loaded.Source
}
