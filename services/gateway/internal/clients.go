package internal

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"

	"google.golang.org/grpc/metadata"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/ratelimit"
)

// What a client is known by.
const byKey, byAddress = "key", "address"

// client is who makes a call, as far as limits go.
type client struct {
	by, name string
	quota    ratelimit.Quota // no Rate: not limited
}

// bucket names the client's bucket.
func (c client) bucket() string { return c.by + ":" + c.name }

// clients tells clients apart: by their API key where that is one of those that
// are configured, and otherwise by their address. A key that nobody configured
// counts for nothing, since everybody could make up a new one for each call.
type clients struct {
	keys   map[[sha256.Size]byte]client
	others ratelimit.Quota
}

func newClients(c LimitsConfig) clients {
	all := clients{others: ratelimit.Quota{Rate: c.Rate, Burst: c.Burst}, keys: map[[sha256.Size]byte]client{}}
	for _, k := range c.Keys {
		raw, err := hex.DecodeString(k.SHA256)
		if err != nil || len(raw) != sha256.Size {
			continue // Validate has refused it
		}
		q := ratelimit.Quota{Rate: k.Rate, Burst: k.Burst}
		if q.Rate == 0 {
			q.Rate = c.Rate
			if q.Burst == 0 {
				q.Burst = c.Burst
			}
		}
		all.keys[[sha256.Size]byte(raw)] = client{byKey, k.Name, q}
	}
	return all
}

// limited tells whether any client is.
func (c *clients) limited() bool {
	if c.others.Rate > 0 {
		return true
	}
	for _, k := range c.keys {
		if k.quota.Rate > 0 {
			return true
		}
	}
	return false
}

// of returns the client of a call. Keys are compared by their hashes, so that how
// long it takes tells nothing about them.
func (c *clients) of(record *call.Call) client {
	if len(c.keys) > 0 {
		if keys := metadata.ValueFromIncomingContext(record, keyHeader); len(keys) == 1 {
			if known, ok := c.keys[sha256.Sum256([]byte(keys[0]))]; ok {
				return known
			}
		}
	}
	return client{byAddress, addressOf(record.Peer), c.others}
}

// addressOf names the host of an address: an IPv6 host has a whole /64 to itself,
// and so counts by that.
func addressOf(a net.Addr) string {
	if a == nil {
		return "unknown"
	}
	var ip netip.Addr
	if tcp, ok := a.(*net.TCPAddr); ok {
		ip = tcp.AddrPort().Addr()
	} else if p, err := netip.ParseAddrPort(a.String()); err == nil {
		ip = p.Addr()
	} else if ip, err = netip.ParseAddr(a.String()); err != nil {
		return a.String()
	}
	ip = ip.Unmap()
	if !ip.Is6() {
		return ip.String()
	}
	net64, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return ip.String()
	}
	return net64.String()
}
