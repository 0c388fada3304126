package consul

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/consul/api"

	"github.com/keelson-dev/keelson/discovery"
)

// Keys of an instance's metadata in Consul.
const (
	metaVersion = "version"
	metaZone    = "zone"
	metaWeight  = "weight"
	metaPrefix  = "keelson-"
	metaID      = metaPrefix + "id"
	metaOps     = metaPrefix + "ops"
	metaDebug   = metaPrefix + "debug"
	metaPID     = metaPrefix + "pid"
	metaStart   = metaPrefix + "start"
)

// What Consul allows.
const (
	maxPairs = 64
	maxKey   = 128
	maxValue = 512
)

var keyFormat = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// serviceID makes Consul's ID of a service's name and an instance's ID such that no two pairs share one, in a registry that ignores case
// and knows the IDs of all services together: lower case letters, digits, '-', '_' and '.' stay, every other byte becomes ~XX.
func serviceID(service, id string) string {
	var b strings.Builder
	escape(&b, service)
	b.WriteByte(':')
	escape(&b, id)
	return b.String()
}

func escape(b *strings.Builder, s string) {
	const hexDigits = "0123456789abcdef"
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'~', hexDigits[c>>4], hexDigits[c&15]})
	}
}

// record is an instance as it stands in an agent.
type record struct {
	id, service, host string
	port              int
	tags              []string
	meta              map[string]string
	weights           api.AgentWeights
}

// newRecord returns what to write about an instance. The error says which field Consul cannot hold.
func (d *Driver) newRecord(in discovery.Instance) (record, error) {
	if err := in.Validate(); err != nil {
		return record{}, err
	}
	host, port, err := net.SplitHostPort(in.Address)
	if err != nil {
		return record{}, fmt.Errorf("address: %w", err)
	}
	r := record{id: serviceID(in.Service, in.ID), service: in.Service, host: host, tags: d.cfg.Tags}
	if r.port, err = strconv.Atoi(port); err != nil {
		return record{}, fmt.Errorf("address: %w", err)
	}
	if in.Weight == 0 {
		in.Weight = discovery.DefaultWeight
	}
	r.weights = api.AgentWeights{Passing: int(in.Weight), Warning: int(max(in.Weight/2, 1))}
	r.meta, err = metaOf(in)
	return r, err
}

func metaOf(in discovery.Instance) (map[string]string, error) {
	own := map[string]string{
		metaID: in.ID, metaVersion: in.Version, metaZone: in.Zone, metaWeight: strconv.FormatUint(uint64(in.Weight), 10),
		metaOps: in.OpsAddress, metaDebug: in.DebugAddress, metaPID: strconv.Itoa(pidOf(in)),
	}
	if !in.StartTime.IsZero() {
		own[metaStart] = in.StartTime.UTC().Format(time.RFC3339Nano)
	}
	var faults []error
	for k := range in.Meta {
		if _, taken := own[k]; taken || strings.HasPrefix(k, metaPrefix) || strings.HasPrefix(k, "consul-") {
			faults = append(faults, fmt.Errorf("meta: key %q has a meaning of its own in Consul; use another", k))
		}
	}
	maps.DeleteFunc(own, func(_, v string) bool { return v == "" })
	maps.Copy(own, in.Meta)
	if len(own) > maxPairs {
		faults = append(faults, fmt.Errorf("meta: Consul holds %d keys for an instance, of which %d are taken", maxPairs, len(own)-len(in.Meta)))
	}
	for _, k := range slices.Sorted(maps.Keys(own)) {
		if len(k) > maxKey || !keyFormat.MatchString(k) {
			faults = append(faults, fmt.Errorf("meta: Consul holds no key %q; use up to %d letters, digits, '-' and '_'", k, maxKey))
		}
		if len(own[k]) > maxValue || !utf8.ValidString(own[k]) {
			faults = append(faults, fmt.Errorf("meta: Consul does not hold the value of %q; use up to %d bytes of UTF-8", k, maxValue))
		}
	}
	return own, errors.Join(faults...)
}

// pidOf returns the process that an instance is, by default the calling one.
func pidOf(in discovery.Instance) int {
	if in.PID == 0 {
		return os.Getpid()
	}
	return in.PID
}

// holds reports whether an agent has the record as it is.
func (r record) holds(s *api.AgentService) bool {
	return s.ID == r.id && s.Service == r.service && s.Address == r.host && s.Port == r.port && s.Weights == r.weights &&
		maps.Equal(s.Meta, r.meta) && slices.Equal(slices.Sorted(slices.Values(s.Tags)), slices.Sorted(slices.Values(r.tags)))
}

// written reports whether the same process wrote what an agent has. What is not ours at all was written by somebody else.
func (r record) written(s *api.AgentService) bool {
	return s.Meta[metaPID] == r.meta[metaPID] && s.Meta[metaStart] == r.meta[metaStart]
}

// registration is what the agent is told.
func (d *Driver) registration(in discovery.Instance, r record) *api.AgentServiceRegistration {
	c := d.cfg.Check
	check := &api.AgentServiceCheck{
		CheckID: "check:" + r.id, Name: "keelson health",
		Interval: c.Interval.String(), Timeout: c.Timeout.String(), DeregisterCriticalServiceAfter: c.DeregisterAfter.String(),
		FailuresBeforeWarning: 1, FailuresBeforeCritical: 2,
		// It serves: registering comes after that. An agent that has the check already keeps its status.
		Status: api.HealthPassing,
	}
	if ops := cmp.Or(c.Address, in.OpsAddress); ops != "" {
		check.GRPC, check.GRPCUseTLS, check.TLSServerName, check.TLSSkipVerify = ops, c.TLS, c.ServerName, c.SkipVerify
	} else {
		check.TCP = in.Address
	}
	weights := r.weights
	return &api.AgentServiceRegistration{
		ID: r.id, Name: r.service, Address: r.host, Port: r.port, Tags: r.tags, Meta: r.meta, Weights: &weights, Check: check,
	}
}
