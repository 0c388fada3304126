package internal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/edge"
	platformv1 "github.com/keelson-dev/keelson/proto/keelson/platform/v1"
)

// Config is everything the gateway can be told: the chassis's settings and its
// own.
type Config struct {
	keelson.Config `yaml:",inline"`
	// Public permits a gRPC listener that others than this machine can reach,
	// although the gateway asks nobody who they are.
	Public bool `yaml:"public" doc:"let grpc.address be reached from other machines, although the gateway asks nobody who they are (edge.public says so for edge.address)"`
	// Services is the allow-list.
	Services []ServiceConfig `yaml:"services" doc:"allow-list: what is exposed, and where it is forwarded to"`
	// Descriptors are files that describe services on the allow-list.
	Descriptors []string `yaml:"descriptors" doc:"files (FileDescriptorSet with imports) that describe the services; those that no file describes are asked by gRPC reflection"`
	// Reflection bounds what is asked of backends.
	Reflection ReflectionConfig `yaml:"reflection"`
	// ReadyTimeout is how long a call waits for an instance of its service that
	// is ready; 0: 2 s.
	ReadyTimeout time.Duration `yaml:"ready_timeout" default:"2s" min:"1ms" doc:"how long a call waits for a ready instance of its service before it is answered UNAVAILABLE"`
	// Limits bounds how many calls each client may make.
	Limits LimitsConfig `yaml:"limits"`
	// Edge is the listener of browsers and the public.
	Edge edge.Config `yaml:"edge"`
	// Platform is what the console shows.
	Platform PlatformConfig `yaml:"platform"`
}

// ServiceConfig is one service on the allow-list.
type ServiceConfig struct {
	// Service is the full name, such as user.v1.UserService.
	Service string `yaml:"service" doc:"full name, such as user.v1.UserService"`
	// Target is what is dialled: a name in the registry, a URL, or host:port.
	Target string `yaml:"target" doc:"where its calls go: a name in the registry, a URL, or host:port"`
}

// ReflectionConfig bounds what is asked of backends. The zero value works.
type ReflectionConfig struct {
	// Refresh is after how long a backend is asked again although none of its
	// instances came or went; 0: 1 min.
	Refresh time.Duration `yaml:"refresh" default:"1m" min:"100ms" doc:"asks a backend again for its methods after so long, and whenever its instances change"`
	// StartTimeout is how long a start waits for the backends' answers; 0: 3 s.
	StartTimeout time.Duration `yaml:"start_timeout" default:"3s" min:"1ms" doc:"how long a start waits for the methods to be known, so that an instance that is registered serves them; one that waits no longer asks on"`
	// MaxSize is how many bytes the descriptors of one backend may have; 0: 4 MiB.
	MaxSize keelson.Size `yaml:"max_size" default:"4MiB" min:"1KiB" max:"64MiB" doc:"most bytes that the descriptors of one backend may have"`
}

// LimitsConfig bounds how many calls each client may make. The zero value does
// not.
type LimitsConfig struct {
	// Rate is how many calls per second a client may make; 0: any number.
	Rate float64 `yaml:"rate" min:"0" max:"1000000" doc:"calls per second of one client, by address (IPv6: by /64); 0: not limited"`
	// Burst is how many it may make at once; 0: as many as Rate in a second.
	Burst int `yaml:"burst" min:"0" max:"1000000" doc:"calls of one client at once; 0: as many as rate"`
	// MaxClients is how many clients are counted one by one; 0: 10,000.
	MaxClients int `yaml:"max_clients" default:"10000" min:"1" max:"10000000" doc:"most clients that are counted one by one"`
	// Keys are the API keys by which clients are told apart.
	Keys []KeyConfig `yaml:"keys" doc:"API keys (metadata x-api-key) whose clients have a limit of their own; all other keys count for nothing"`
	// Redis counts over all instances of the gateway.
	Redis RedisConfig `yaml:"redis"`
}

// KeyConfig is one API key.
type KeyConfig struct {
	// Name names the client in answers and in Redis.
	Name string `yaml:"name" doc:"name of the client, which answers show"`
	// SHA256 is the hash of the key, in hexadecimal.
	SHA256 string `yaml:"sha256" doc:"SHA-256 of the key in hexadecimal, as sha256sum prints it"`
	// Rate and Burst are its limit; 0: that of all clients.
	Rate  float64 `yaml:"rate" min:"0" max:"1000000" doc:"calls per second; 0: limits.rate"`
	Burst int     `yaml:"burst" min:"0" max:"1000000" doc:"calls at once; 0: limits.burst, or as many as rate"`
}

// RedisConfig is where calls are counted for all instances of the gateway
// together. The zero value counts in each instance by itself.
type RedisConfig struct {
	// Address is host:port; empty: each instance counts by itself.
	Address string `yaml:"address" doc:"host:port of the Redis that counts for all instances of the gateway together; empty: each counts by itself"`
	// Username and Password authenticate.
	Username string         `yaml:"username" doc:"user name, where Redis wants one"`
	Password keelson.Secret `yaml:"password" doc:"password, where Redis wants one"`
	// DB is the number of the database.
	DB int `yaml:"db" min:"0" max:"1000" doc:"number of the database"`
	// TLS turns TLS on.
	TLS bool `yaml:"tls" doc:"speak TLS, checked by the system's authorities"`
	// Timeout bounds one question; 0: 50 ms.
	Timeout time.Duration `yaml:"timeout" default:"50ms" min:"1ms" max:"1s" doc:"most time for one question; then this instance decides by its share"`
	// Instances is by how many the limits are divided while Redis is away; 0: as
	// many as the registry shows.
	Instances int `yaml:"instances" min:"0" max:"10000" doc:"number of instances that share a limit while Redis is away; 0: as many as the registry shows, at least one"`
}

// The most services on the allow-list.
const maxServices = 1000

// connectionGrace is how long streams on a connection that reached its age may go
// on: watches of the services behind end themselves after ten minutes.
const connectionGrace = 11 * time.Minute

// DefaultConfig is the configuration before anything was loaded.
func DefaultConfig() Config {
	var cfg Config
	cfg.GRPC.ConnectionGrace = connectionGrace
	cfg.Services = []ServiceConfig{{"user.v1.UserService", "user"}, {"audit.v1.AuditService", "audit"}}
	return cfg
}

// Validate reports settings that do not fit together.
func (c *Config) Validate() error {
	faults := c.checkServices()
	if a := c.GRPC.Address; !c.Public && a != "" && !keelson.IsLoopback(a) {
		faults = append(faults, fmt.Errorf("grpc.address: %q can be reached from other machines, and the gateway asks nobody who they are: everybody could call what it exposes; listen on 127.0.0.1, or set public: true if that is meant", a))
	}
	if a := c.Edge.Address; a != "" && a != "off" && !c.Edge.Public && !keelson.IsLoopback(a) {
		faults = append(faults, fmt.Errorf("edge.address: %q can be reached from other machines, and the gateway asks nobody who they are; listen on 127.0.0.1, or set edge.public: true if that is meant", a))
	}
	if age := c.Platform.withDefaults().MaxAge; c.GRPC.ConnectionGrace > 0 && c.GRPC.ConnectionGrace <= age {
		faults = append(faults, fmt.Errorf("platform.max_age: %s is not below grpc.connection_age_grace (%s): a watch that began on an old connection would be cut off; lower it or raise the grace", age, c.GRPC.ConnectionGrace))
	}
	return errors.Join(append(faults, c.Limits.check()...)...)
}

// checkServices reports faults of the allow-list.
func (c *Config) checkServices() (faults []error) {
	if len(c.Services) > maxServices {
		faults = append(faults, fmt.Errorf("services: %d are listed; at most %d can be", len(c.Services), maxServices))
	}
	seen := map[string]int{}
	for i, s := range c.Services {
		at := fmt.Sprintf("services[%d]", i)
		if !protoreflect.FullName(s.Service).IsValid() {
			faults = append(faults, fmt.Errorf("%s.service: %q is no full name of a service; write it as in user.v1.UserService", at, s.Service))
		}
		if servedHere(s.Service) {
			faults = append(faults, fmt.Errorf("%s.service: %s is what the gateway serves itself, and never forwards; leave it out", at, s.Service))
		}
		if s.Target == "" {
			faults = append(faults, fmt.Errorf("%s.target: is empty; give a name in the registry, a URL, or host:port", at))
		}
		if other, twice := seen[s.Service]; twice {
			faults = append(faults, fmt.Errorf("%s.service: %s is listed already as services[%d]; a service has one target", at, s.Service, other))
		}
		seen[s.Service] = i
	}
	return faults
}

// servedHere tells whether the gateway serves a service itself.
func servedHere(service string) bool {
	switch service {
	case "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", platformv1.PlatformService_ServiceDesc.ServiceName:
		return true
	}
	return false
}

// check reports faults of the limits.
func (c *LimitsConfig) check() (faults []error) {
	if c.Rate == 0 && c.Burst > 0 {
		faults = append(faults, errors.New("limits.burst: is set, but limits.rate is not; set both"))
	}
	if a := c.Redis.Address; a != "" {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			faults = append(faults, fmt.Errorf("limits.redis.address: %q is no host:port; write it as in 127.0.0.1:6379", a))
		}
		if all := newClients(*c); !all.limited() {
			faults = append(faults, errors.New("limits.redis.address: is set, but nothing is limited; set limits.rate, or the rate of a key"))
		}
	}
	names, hashes := map[string]bool{}, map[string]bool{}
	for i, k := range c.Keys {
		at := fmt.Sprintf("limits.keys[%d]", i)
		if k.Name == "" || names[k.Name] {
			faults = append(faults, fmt.Errorf("%s.name: %q is empty or given twice; each key needs a name of its own", at, k.Name))
		}
		hash := strings.ToLower(k.SHA256)
		if raw, err := hex.DecodeString(hash); err != nil || len(raw) != 32 || hashes[hash] {
			faults = append(faults, fmt.Errorf("%s.sha256: is no SHA-256 of its own in hexadecimal; make it with: printf %%s KEY | sha256sum", at))
		}
		if k.Rate == 0 && k.Burst > 0 && c.Rate == 0 {
			faults = append(faults, fmt.Errorf("%s.burst: is set, but neither its rate nor limits.rate is", at))
		}
		names[k.Name], hashes[hash] = true, true
	}
	return faults
}

func orDefault[T ~int | ~int64](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}
