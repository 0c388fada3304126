package discovery

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/keelson-dev/keelson/target"
)

// Limits of what may be registered and of what is accepted from a registry.
const (
	// DefaultWeight is the weight of an instance that does not name one.
	DefaultWeight = 100
	// MaxWeight is the largest weight.
	MaxWeight = 65535
	// MaxServiceName is the longest service name, in bytes. With the allowed characters it is also a DNS label's length.
	MaxServiceName = 63
	// MaxID is the longest instance ID, in bytes.
	MaxID = 255
	// MaxMeta is the most that the keys and values of Meta may add up to, in bytes.
	MaxMeta = 16 << 10
)

// Instance is one process of a service as it stands in a registry.
type Instance struct {
	// Service is the name that clients dial: letters, digits, '-', '_' and '.', at most MaxServiceName bytes.
	Service string `json:"service"`
	// ID is unique among the instances of the service and stays the same over re-registrations, see [NewID].
	ID string `json:"id"`
	// Address is the host:port of the gRPC listener as others reach it; never a wildcard address, never port 0.
	Address string `json:"address"`
	// OpsAddress is the host:port of the ops listener (health, metrics), empty when there is none.
	OpsAddress string `json:"ops_address,omitempty"`
	// DebugAddress is the host:port of the debug listener, empty when there is none.
	DebugAddress string `json:"debug_address,omitempty"`
	// Version is the version of the program.
	Version string `json:"version,omitempty"`
	// Zone is the failure domain the instance runs in.
	Zone string `json:"zone,omitempty"`
	// Weight is the relative share of calls, 1 to MaxWeight; 0 means DefaultWeight.
	Weight uint32 `json:"weight,omitempty"`
	// Meta is whatever else should be known; drivers may refuse keys that their registry cannot hold.
	Meta map[string]string `json:"meta,omitempty"`
	// PID is the process, 0 when not known. It means something on the same host only.
	PID int `json:"pid,omitempty"`
	// StartTime is when the process started to serve, zero when not known.
	StartTime time.Time `json:"start_time,omitzero"`
}

// Validate reports everything that makes the instance unfit for a registry, one error per field, joined.
func (in Instance) Validate() error {
	errs := []error{ValidateService(in.Service), ValidateID(in.ID), validateAddress("address", in.Address)}
	if in.OpsAddress != "" {
		errs = append(errs, validateAddress("ops_address", in.OpsAddress))
	}
	if in.DebugAddress != "" {
		errs = append(errs, validateAddress("debug_address", in.DebugAddress))
	}
	if in.Weight > MaxWeight {
		errs = append(errs, fmt.Errorf("weight: %d is above %d", in.Weight, MaxWeight))
	}
	size := 0
	for k, v := range in.Meta {
		size += len(k) + len(v)
	}
	if size > MaxMeta {
		errs = append(errs, fmt.Errorf("meta: %d bytes are more than %d; keep large data out of the registry", size, MaxMeta))
	}
	return errors.Join(errs...)
}

// ValidateService reports why a name cannot be a service's: it must be 1 to MaxServiceName letters, digits, '-', '_' and '.', and start
// with a letter or digit. That is safe as a DNS label, as a directory and in a URL.
func ValidateService(name string) error {
	if name == "" || len(name) > MaxServiceName {
		return fmt.Errorf("service: %q is %d bytes long; use 1 to %d", name, len(name), MaxServiceName)
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || !strings.ContainsRune("-_.", rune(c))) {
			return fmt.Errorf("service: %q has %q at byte %d; use letters, digits, '-', '_' and '.', and begin with a letter or digit", name, c, i)
		}
	}
	return nil
}

// ValidateID reports why a string cannot be an instance's ID: it must be 1 to MaxID bytes of printable UTF-8. Spaces, slashes, dots and
// the like are allowed; drivers escape what their registry cannot hold.
func ValidateID(id string) error {
	if id == "" || len(id) > MaxID {
		return fmt.Errorf("id: %q is %d bytes long; use 1 to %d", id, len(id), MaxID)
	}
	if !utf8.ValidString(id) {
		return fmt.Errorf("id: %q is not UTF-8", id)
	}
	if i := strings.IndexFunc(id, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		return fmt.Errorf("id: %q has an unprintable character at byte %d", id, i)
	}
	return nil
}

func validateAddress(field, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", field, addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%s: %q has no port between 1 and 65535", field, addr)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%s: %q is a wildcard that others cannot dial; name the address they reach", field, addr)
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }) {
		return fmt.Errorf("%s: %q has a character that no host has", field, addr)
	}
	return nil
}

// withDefaults returns the instance with the weight it is taken to have.
func (in Instance) withDefaults() Instance {
	if in.Weight == 0 {
		in.Weight = DefaultWeight
	}
	return in
}

// attributes returns what balancers see of the instance.
func (in Instance) attributes() target.Instance {
	in = in.withDefaults()
	return target.Instance{
		Service: in.Service, ID: in.ID, Address: in.Address, Version: in.Version, Zone: in.Zone, Weight: in.Weight, Meta: in.Meta,
	}
}

// NewID returns an ID that is unique for a service on this host and port and the same after a restart on that port, so that a restarted
// instance overwrites what a crashed one left in the registry: "service-host-port" in lower case, with the name of the host, which in a
// container is that of the container. An address that is neither a wildcard nor 127.0.0.1 comes before the port: another process may have
// the same port of another address.
func NewID(service, address string) string {
	name, err := os.Hostname()
	host, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		host, port = address, "0"
	}
	ip := net.ParseIP(host)
	plain := host == "" || host == "localhost" || ip != nil && (ip.IsUnspecified() || ip.Equal(net.IPv4(127, 0, 0, 1)))
	switch {
	case err != nil || name == "":
		name = host
	case !plain:
		name += "-" + host
	}
	return strings.ToLower(service + "-" + name + "-" + port)
}
