package target

import (
	"fmt"
	"maps"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/resolver"
)

// Instance is what the registry says about one process of a service. It is a plain value; Meta must not be changed once the value is
// shared. The JSON form is what /debug/keelson/targets shows.
type Instance struct {
	// Service is the name of the service, empty for an instance that came from a plain address or DNS.
	Service string `json:"service,omitempty"`
	// ID is unique among the instances of a service; for a plain address it is the address.
	ID string `json:"id"`
	// Address is the host:port (or whatever the dialer takes) of the gRPC listener.
	Address string `json:"address"`
	// Version is the version of the program, empty when not known.
	Version string `json:"version,omitempty"`
	// Zone is the failure domain, empty when not known.
	Zone string `json:"zone,omitempty"`
	// Weight is the relative share of calls. 0 means not known; balancers then take it as the usual weight of the list.
	Weight uint32 `json:"weight,omitempty"`
	// Meta is whatever else the instance published about itself.
	Meta map[string]string `json:"meta,omitempty"`
}

// Equal reports whether both values say the same, metadata included.
func (i Instance) Equal(o Instance) bool {
	return i.Service == o.Service && i.ID == o.ID && i.Address == o.Address && i.Version == o.Version &&
		i.Zone == o.Zone && i.Weight == o.Weight && maps.Equal(i.Meta, o.Meta)
}

// String gives the form used in logs: "ID (address)".
func (i Instance) String() string {
	if i.ID == i.Address || i.ID == "" {
		return i.Address
	}
	return fmt.Sprintf("%s (%s)", i.ID, i.Address)
}

// The keys of what addresses and states carry. gRPC prints them in its log.
type (
	instanceKey struct{}
	identityKey struct{}
	targetKey   struct{}
)

func (instanceKey) String() string { return "instance" }
func (identityKey) String() string { return "identity" }
func (targetKey) String() string   { return "target" }

// attribute makes an Instance comparable for attributes.Equal, which must not compare maps with ==.
type attribute struct{ Instance }

func (a attribute) Equal(o any) bool {
	b, ok := o.(attribute)
	return ok && a.Instance.Equal(b.Instance)
}

// Identity is the part of an instance that is safe to attach to an address: gRPC opens a new connection when an address's attributes
// change, so weight, zone and metadata (which change while the process lives) stay out of it.
type Identity struct {
	// Service is the name of the service.
	Service string
	// ID is the instance's ID.
	ID string
}

// String gives the form used in gRPC's log: "service/ID", or the
// ID alone where the service is not known.
func (i Identity) String() string {
	if i.Service == "" {
		return i.ID
	}
	return i.Service + "/" + i.ID
}

// SetEndpoint returns a copy of ep that carries the instance for balancing policies, and the instance's [Identity] on each address
// for credentials and connection handlers. The addresses of ep are not modified.
func SetEndpoint(ep resolver.Endpoint, in Instance) resolver.Endpoint {
	addrs := make([]resolver.Address, len(ep.Addresses))
	for i, a := range ep.Addresses {
		a.Attributes = a.Attributes.WithValue(identityKey{}, Identity{Service: in.Service, ID: in.ID})
		addrs[i] = a
	}
	return resolver.Endpoint{Addresses: addrs, Attributes: ep.Attributes.WithValue(instanceKey{}, attribute{in})}
}

// FromEndpoint returns the instance that [SetEndpoint] attached; ok is false when there is none.
func FromEndpoint(ep resolver.Endpoint) (in Instance, ok bool) {
	return FromAttributes(ep.Attributes)
}

// FromAttributes returns the instance found in an endpoint's attributes; ok is false when there is none. attrs may be nil.
func FromAttributes(attrs *attributes.Attributes) (in Instance, ok bool) {
	a, ok := attrs.Value(instanceKey{}).(attribute)
	return a.Instance, ok
}

// IdentityFrom returns the identity found in an address's attributes (which credentials read through
// credentials.ClientHandshakeInfoFromContext); ok is false when there is none. attrs may be nil.
func IdentityFrom(attrs *attributes.Attributes) (id Identity, ok bool) {
	id, ok = attrs.Value(identityKey{}).(Identity)
	return id, ok
}

// SetState returns a copy of s that carries the target's live state to the balancing policy.
func SetState(s resolver.State, t *Target) resolver.State {
	s.Attributes = s.Attributes.WithValue(targetKey{}, t)
	return s
}

// FromState returns the live state that [SetState] attached, or nil.
func FromState(s resolver.State) *Target {
	t, _ := s.Attributes.Value(targetKey{}).(*Target)
	return t
}
