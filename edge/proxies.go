package edge

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// proxies are those whose word on the client's address is taken.
type proxies []netip.Prefix

// parseProxies reads addresses and CIDRs. The error names every one that is
// neither.
func parseProxies(texts []string) (proxies, error) {
	var all proxies
	var faults []error
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil {
			p, err = netip.PrefixFrom(a.WithZone(""), a.BitLen()), nil
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("edge.trusted_proxies[%d]: %q is no address and no CIDR; write it as 10.0.0.0/8 or 10.1.2.3", i, text))
			continue
		}
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		all = append(all, p.Masked())
	}
	return all, errors.Join(faults...)
}

// trust tells whether an address is one of the proxies'.
func (p proxies) trust(a netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// client finds the client's address in the values of X-Forwarded-For: each proxy
// appends whom it heard, so that the last entry which is not a proxy of ours is the
// first that nobody could make up. What is no address ends the search at the last
// one that was. The zero address: there is none.
func (p proxies) client(forwarded []string) netip.Addr {
	var found netip.Addr
	for i := len(forwarded) - 1; i >= 0; i-- {
		list := forwarded[i]
		for list != "" {
			var entry string
			if cut := strings.LastIndexByte(list, ','); cut >= 0 {
				list, entry = list[:cut], list[cut+1:]
			} else {
				list, entry = "", list
			}
			a, ok := forwardedAddress(strings.TrimSpace(entry))
			if !ok {
				return found
			}
			found = a
			if !p.trust(a) {
				return found
			}
		}
	}
	return found
}

// forwardedAddress reads an address with or without a port, as proxies write them.
func forwardedAddress(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// addressOf reads the address of host:port; the zero address: it is none.
func addressOf(hostPort string) netip.Addr {
	ap, err := netip.ParseAddrPort(hostPort)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
