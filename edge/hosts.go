package edge

import (
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/errs"
)

// anyHost among the configured hosts permits all.
const anyHost = "*"

// hosts are the names under which an edge answers. That it listens on loopback
// does not protect it from pages: a page's own name can be made to lead there (DNS
// rebinding), and the browser then takes page and edge for one origin, to which
// CORS does not apply.
type hosts struct {
	all   bool
	names []string // in lower case, beside those of loopback
}

// newHosts permits every name to an edge that others than this machine can reach,
// unless some are configured.
func newHosts(c *Config) hosts {
	h := hosts{all: slices.Contains(c.Hosts, anyHost)}
	if len(c.Hosts) == 0 && !keelson.IsLoopback(c.Address) {
		h.all = true
	}
	for _, name := range c.Hosts {
		h.names = append(h.names, strings.ToLower(name))
	}
	return h
}

// permits tells whether a request may come under the name in Host.
func (h *hosts) permits(host string) bool {
	if h.all {
		return true
	}
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() {
		return true
	}
	return slices.Contains(h.names, name)
}

// refuseHost answers a request under a name that is not the edge's.
func (x *exchange) refuseHost() {
	x.refuse(refusedHost, http.StatusMisdirectedRequest,
		errs.PermissionDenied(ReasonHostUnknown, "this edge does not answer under the name %q; the operator lists names in edge.hosts", x.r.Host[:min(len(x.r.Host), 64)]))
}
