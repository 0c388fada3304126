package balancer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/leastrequest"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/balancer/weightedroundrobin"
	"google.golang.org/grpc/serviceconfig"
)

// Name is the name under which gRPC knows the policy.
const Name = "keelson"

// The names that [Config] takes for gRPC's own policies.
const (
	LeastRequest       = "least_request"
	RoundRobin         = "round_robin"
	WeightedRoundRobin = "weighted_round_robin"
	RingHash           = "ring_hash"
	PickFirst          = "pick_first"
)

const (
	defaultChoices = 2
	maxChoices     = 10
	defaultPanic   = 0.5
	defaultHashKey = "x-hash-key"
	keyRunes       = "abcdefghijklmnopqrstuvwxyz0123456789-_." // of a key of metadata
)

// Config says how calls are spread. The zero value works. It is a plain value; see [Config.JSON] for how it reaches gRPC.
type Config struct {
	// Policy is the one of gRPC's policies that chooses: least_request (the default), round_robin, weighted_round_robin, ring_hash or
	// pick_first. ring_hash and pick_first choose by something else than load, so weights and zones are not applied to them; pick_first,
	// besides, does without health checks and stays with an instance until its connection ends.
	Policy string `json:"policy,omitempty"`
	// Choices is how many instances least_request compares, 2 to 10; 0 means 2. Other policies ignore it.
	Choices int `json:"choices,omitempty"`
	// HashHeader is the metadata key whose value ring_hash hashes, "x-hash-key" if empty. Calls without it go to any instance (gRFC A76).
	HashHeader string `json:"hashHeader,omitempty"`
	// Zone is the client's own zone; empty switches the preference for instances of the same zone off.
	Zone string `json:"zone,omitempty"`
	// PanicThreshold is the part of the known instances, above 0 and at most 1, of which more must be out before all are used. 0 means 0.5.
	PanicThreshold float64 `json:"panicThreshold,omitempty"`
	// HealthService is the name that probes ask for in grpc.health.v1; empty asks for the whole server.
	HealthService string `json:"healthService,omitempty"`
}

// children are gRPC's names of its policies, by ours.
func children() map[string]string {
	return map[string]string{
		LeastRequest: leastrequest.Name, RoundRobin: roundrobin.Name, WeightedRoundRobin: weightedroundrobin.Name,
		RingHash: ringhash.Name, PickFirst: pickfirst.Name,
	}
}

// Validate returns all that is wrong with the configuration, by field.
func (c Config) Validate() error {
	var faults []error
	if names := children(); c.Policy != "" && names[c.Policy] == "" {
		known := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
		faults = append(faults, fmt.Errorf("policy: %q is not known; use one of %s", c.Policy, known))
	}
	if c.Choices != 0 && (c.Choices < 2 || c.Choices > maxChoices) {
		faults = append(faults, fmt.Errorf("choices: %d is not between 2 and %d; leave it at 0 for %d", c.Choices, maxChoices, defaultChoices))
	}
	if h := strings.ToLower(c.HashHeader); strings.ContainsFunc(h, func(r rune) bool { return !strings.ContainsRune(keyRunes, r) }) || strings.HasSuffix(h, "-bin") {
		faults = append(faults, fmt.Errorf("hashHeader: %q is not the key of metadata that is text; use letters, digits, -, _ and ., and no -bin at the end", c.HashHeader))
	}
	if !(c.PanicThreshold >= 0 && c.PanicThreshold <= 1) {
		faults = append(faults, fmt.Errorf("panicThreshold: %v is not between 0 and 1; leave it at 0 for %v", c.PanicThreshold, defaultPanic))
	}
	return errors.Join(faults...)
}

// JSON returns the entry for the list loadBalancingConfig of a gRPC service config: {"keelson": {...}}. It is an error if the
// configuration is not valid.
func (c Config) JSON() (json.RawMessage, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("balancer: %w", err)
	}
	b, err := json.Marshal(map[string]Config{Name: c})
	if err != nil {
		return nil, fmt.Errorf("encode the balancer's configuration: %w", err)
	}
	return b, nil
}

// parsed is a configuration as gRPC hands it to the policy.
type parsed struct {
	serviceconfig.LoadBalancingConfig
	Config
	child       balancer.Builder
	childConfig serviceconfig.LoadBalancingConfig
}

func parse(raw json.RawMessage) (*parsed, error) {
	var c Config
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("read the configuration of the policy %s: %w", Name, err)
	}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("configuration of the policy %s: %w", Name, err)
	}
	c.Policy = cmp.Or(c.Policy, LeastRequest)
	c.PanicThreshold = cmp.Or(c.PanicThreshold, defaultPanic)
	p := &parsed{Config: c, child: balancer.Get(children()[c.Policy])}
	if p.child == nil {
		return nil, fmt.Errorf("configuration of the policy %s: gRPC does not know %s", Name, c.Policy)
	}
	parser, ok := p.child.(balancer.ConfigParser)
	if !ok {
		return p, nil
	}
	var err error
	if p.childConfig, err = parser.ParseConfig(c.childJSON()); err != nil {
		return nil, fmt.Errorf("configuration of the policy %s: %w", c.Policy, err)
	}
	return p, nil
}

func (c Config) childJSON() json.RawMessage {
	switch c.Policy {
	case LeastRequest:
		return fmt.Appendf(nil, `{"choiceCount": %d}`, cmp.Or(c.Choices, defaultChoices))
	case RingHash:
		b, err := json.Marshal(map[string]string{"requestHashHeader": cmp.Or(c.HashHeader, defaultHashKey)})
		if err == nil {
			return b
		}
	}
	return json.RawMessage(`{}`)
}

// spreads tells whether the policy chooses by load alone, so that thinning an instance by weight and zone takes nothing away.
func (c Config) spreads() bool { return c.Policy != RingHash && c.Policy != PickFirst }
