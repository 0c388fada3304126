package consul

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults of [Config].
const (
	// DefaultAddress is where an agent listens on its own host.
	DefaultAddress = "http://127.0.0.1:8500"
	// DefaultWait is how long a blocking query waits for a change.
	DefaultWait = time.Minute
	// MaxWait is the longest that Consul waits.
	MaxWait = 10 * time.Minute
	// DefaultMaxStale is how old a stale read may be before it is no longer taken as proof that an instance is gone.
	DefaultMaxStale = 10 * time.Second
	// DefaultCheckInterval is how often an instance is checked.
	DefaultCheckInterval = 5 * time.Second
	// DefaultCheckTimeout is how long a check may take.
	DefaultCheckTimeout = 2 * time.Second
	// DefaultDeregisterAfter is how long an instance may be critical before it is forgotten.
	DefaultDeregisterAfter = 10 * time.Minute
	// MinDeregisterAfter is the shortest time that Consul takes for DeregisterAfter.
	MinDeregisterAfter = time.Minute
)

// Config is what can be set about the driver. The zero value works with the agent of the host.
type Config struct {
	// Address of the agent: http://host:port or https://host:port, also with a path in front of the API; host:port, which is plaintext
	// HTTP, or HTTPS when CAFile or CertFile is set; or unix:///path. Default DefaultAddress. Credentials do not belong here.
	Address string
	// Token is the ACL token: service:write for the registered service; service:read and node:read for what is looked for. It appears in
	// no error and no log.
	Token string
	// TokenFile is a file that holds the token instead; it is read for each request.
	TokenFile string
	// Datacenter is where services are looked for when the dial target names none. Default: the agent's own. Registration is always in
	// the agent's own.
	Datacenter string
	// CAFile is a PEM file of the authorities of the agent's certificate. Default: those of the system.
	CAFile string
	// CertFile and KeyFile are PEM files of what is shown to an agent that asks for a certificate.
	CertFile, KeyFile string
	// ServerName is the name expected in the agent's certificate. Default: the host of Address.
	ServerName string
	// Insecure allows a token to be sent in plaintext to an agent that is not on loopback.
	Insecure bool
	// Tags are registered with the instance; dial targets select by them.
	Tags []string
	// Check is how Consul checks the instance.
	Check CheckConfig
	// Wait is how long a blocking query waits for a change before it is asked again; a list is never older than that while the registry
	// is well. Default DefaultWait, at most MaxWait.
	Wait time.Duration
	// MaxStale is the age from which the answer of a server that has lost its leader is called stale: it adds instances and takes none
	// away. Default DefaultMaxStale.
	MaxStale time.Duration
}

// CheckConfig is how Consul's agent checks a registered instance. The zero value works.
type CheckConfig struct {
	// Address is host:port where the agent reaches the instance's ops listener. Default: the one that the instance registers.
	Address string
	// Interval between checks. Default DefaultCheckInterval.
	Interval time.Duration
	// Timeout of one check. Default DefaultCheckTimeout.
	Timeout time.Duration
	// DeregisterAfter is how long the instance may be critical before the agent forgets it. Default DefaultDeregisterAfter, at least
	// MinDeregisterAfter. The agent looks every 30 s.
	DeregisterAfter time.Duration
	// TLS says that the ops listener speaks TLS.
	TLS bool
	// ServerName is the name expected in the ops listener's certificate.
	ServerName string
	// SkipVerify makes the agent take any certificate: an agent verifies with the authorities of its own configuration only.
	SkipVerify bool
}

func (c Config) withDefaults() Config {
	if c.Address == "" {
		c.Address = DefaultAddress
	}
	c.Wait = positive(c.Wait, DefaultWait)
	c.MaxStale = positive(c.MaxStale, DefaultMaxStale)
	c.Check.Interval = positive(c.Check.Interval, DefaultCheckInterval)
	c.Check.Timeout = positive(c.Check.Timeout, DefaultCheckTimeout)
	c.Check.DeregisterAfter = positive(c.Check.DeregisterAfter, DefaultDeregisterAfter)
	return c
}

func positive(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// validate reports all faults at once, and returns where the agent is.
func (c Config) validate() (endpoint, error) {
	at, err := parseAddress(c.Address, c.CAFile != "" || c.CertFile != "")
	faults := []error{err}
	if c.Token != "" && c.TokenFile != "" {
		faults = append(faults, errors.New("token, token_file: both are set; keep one"))
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		faults = append(faults, errors.New("token: has a character that no token has; is there a space or a line break around it?"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		faults = append(faults, errors.New("cert_file, key_file: one is set without the other"))
	}
	if err == nil && at.scheme != schemeHTTPS && (c.CAFile != "" || c.CertFile != "" || c.ServerName != "") {
		faults = append(faults, fmt.Errorf("address: %s is plaintext, but TLS is configured; write https://", at.text))
	}
	if err == nil && at.scheme == schemeHTTP && !at.local() && (c.Token != "" || c.TokenFile != "") && !c.Insecure {
		faults = append(faults, fmt.Errorf("address: the token would go to %s in plaintext; use https://, or allow it with insecure: true", at.text))
	}
	if c.Wait > MaxWait {
		faults = append(faults, fmt.Errorf("wait: %s is above %s, the longest that Consul waits", c.Wait, MaxWait))
	}
	for _, tag := range c.Tags {
		if tag == "" {
			faults = append(faults, errors.New("tags: one is empty"))
		}
	}
	return at, errors.Join(append(faults, c.Check.validate())...)
}

func (c CheckConfig) validate() error {
	var faults []error
	if _, _, err := net.SplitHostPort(c.Address); c.Address != "" && err != nil {
		faults = append(faults, fmt.Errorf("check.address: %q is not host:port", c.Address))
	}
	if c.DeregisterAfter < MinDeregisterAfter {
		faults = append(faults, fmt.Errorf("check.deregister_after: %s is below %s, the shortest that Consul takes", c.DeregisterAfter, MinDeregisterAfter))
	}
	if !c.TLS && (c.SkipVerify || c.ServerName != "") {
		faults = append(faults, errors.New("check.skip_verify, check.server_name: they mean something with check.tls only"))
	}
	return errors.Join(faults...)
}

const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
	schemeUnix  = "unix"
)

// endpoint is where an agent listens.
type endpoint struct {
	scheme string // http, https or unix
	host   string // host:port; for unix a name that HTTP needs
	path   string // what comes before /v1, or the socket
	text   string // as it is shown
}

// local reports whether what is sent stays on this host.
func (e endpoint) local() bool {
	host, _, err := net.SplitHostPort(e.host)
	if err != nil {
		host = e.host
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// parseAddress never repeats what it was given in full: there may be a password in it.
func parseAddress(address string, secure bool) (endpoint, error) {
	if !strings.Contains(address, "://") {
		scheme := schemeHTTP
		if secure {
			scheme = schemeHTTPS
		}
		address = scheme + "://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return endpoint{}, errors.New("address: is not a URL; write http://host:port, https://host:port or unix:///path")
	}
	switch {
	case u.User != nil:
		return endpoint{}, errors.New("address: has a user name in it; credentials go into token or token_file")
	case u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, errors.New("address: ends in something behind ? or #; write http://host:port")
	case u.Scheme == schemeUnix && u.Host == "" && len(u.Path) > 1:
		return endpoint{scheme: schemeUnix, host: "localhost", path: u.Path, text: "unix://" + u.Path}, nil
	case u.Scheme == schemeHTTP || u.Scheme == schemeHTTPS:
		host, err := hostPort(u)
		path := strings.TrimSuffix(u.Path, "/")
		return endpoint{scheme: u.Scheme, host: host, path: path, text: u.Scheme + "://" + host + path}, err
	}
	return endpoint{}, fmt.Errorf("address: scheme %q with host %q is not one of http://host:port, https://host:port and unix:///path", u.Scheme, u.Host)
}

// hostPort adds Consul's usual port.
func hostPort(u *url.URL) (string, error) {
	port := u.Port()
	if port == "" {
		port = "8500"
		if u.Scheme == schemeHTTPS {
			port = "8501"
		}
	}
	if u.Hostname() == "" || port == "0" {
		return "", fmt.Errorf("address: %q has no host or no port; write http://host:port", u.Host)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
