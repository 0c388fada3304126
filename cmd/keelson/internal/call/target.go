package call

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/keelson-dev/keelson"
	"github.com/keelson-dev/keelson/cmd/keelson/internal/workspace"
	"github.com/keelson-dev/keelson/discovery/consul"
	"github.com/keelson-dev/keelson/internal/config"
)

// Target is what is dialled, and with which configuration.
type Target struct {
	// Dial is what the chassis's client takes.
	Dial string
	// Config is the configuration of that client.
	Config keelson.Config
}

// Security is how the connection is made.
type Security struct {
	// TLS names the files; zero is plaintext.
	TLS keelson.ClientTLS
	// Insecure permits plaintext to other machines.
	Insecure bool
}

// ResolveTarget understands what a user calls a server: the name of a service
// in the registry, host:port, or a URL. A service that is not registered is an
// error at once: nobody wants to wait for a deadline to learn it.
func ResolveTarget(target string, sec Security) (Target, error) {
	t := Target{Dial: target}
	t.Config.Client.TLS, t.Config.Insecure = sec.TLS, sec.Insecure
	t.Config.Log.Level = "warn"
	registry, err := workspace.FindRegistry()
	if err != nil {
		return t, err
	}
	t.Config.Discovery.Driver, t.Config.Discovery.File.Dir = "file", registry.Dir
	scheme, rest, isURL := strings.Cut(target, "://")
	switch {
	case target == "":
		return t, fmt.Errorf("the target is empty; give the name of a service, host:port or a URL")
	case isURL && (scheme == "http" || scheme == "https" || scheme == "grpc" || scheme == "grpcs"):
		return t, t.fromURL(target)
	case isURL && scheme == consul.Scheme:
		return t, t.inConsul()
	case isURL && scheme == "file":
		_, err := registry.Require(strings.TrimPrefix(rest, "/"))
		return t, err
	case isURL || strings.HasPrefix(target, "unix:"):
		return t, nil
	case strings.Contains(target, ":"):
		if _, port, err := net.SplitHostPort(target); err != nil || port == "" {
			return t, fmt.Errorf("the target %q is not host:port; IPv6 addresses stand in brackets, as in [::1]:9090", target)
		}
		return t, nil
	}
	_, err = registry.Require(target)
	return t, err
}

// inConsul takes where Consul is from the variables that the services themselves
// are given, such as KEELSON_DISCOVERY__CONSUL__ADDRESS.
func (t *Target) inConsul() error {
	var given []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "KEELSON_DISCOVERY__CONSUL__") {
			given = append(given, v)
		}
	}
	var cfg struct {
		Discovery keelson.DiscoveryConfig `yaml:"discovery"`
	}
	if _, err := config.Load(&cfg, config.Options{Environ: append(given, "KEELSON_DISCOVERY__DRIVER="+consul.Scheme)}); err != nil {
		return fmt.Errorf("find Consul: %w", err)
	}
	t.Config.Discovery = cfg.Discovery
	t.Config.Discovery.CacheDir = "off" // a command asks about now
	return nil
}

// fromURL takes host and port out of a web address, and TLS from its scheme.
func (t *Target) fromURL(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return fmt.Errorf("the target is no URL: %w", err)
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return fmt.Errorf("the target %q has more or less than host and port; gRPC has no path before the method: give %s://host:port", target, u.Scheme)
	}
	secure := u.Scheme == "https" || u.Scheme == "grpcs"
	port := "80"
	if secure {
		port = "443"
	}
	t.Dial = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port))
	if tls := &t.Config.Client.TLS; secure && *tls == (keelson.ClientTLS{}) {
		tls.ServerName = u.Hostname() // which turns TLS on, with the system's authorities
	}
	return nil
}
