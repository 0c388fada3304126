package keelson

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // client-side health checks
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/keelson-dev/keelson/balancer"
	"github.com/keelson-dev/keelson/breaker"
	"github.com/keelson-dev/keelson/discovery"
	"github.com/keelson-dev/keelson/hedge"
	"github.com/keelson-dev/keelson/internal/grpcx"
)

// Client makes connections that carry the client's half of everything:
// discovery, balancing, health, deadlines, retries, correlation IDs, metrics,
// logs and traces. It owns the watches and the live state of its targets, and
// is safe for concurrent use.
type Client struct {
	*core
	own bool // the client has its telemetry to itself, and ends it

	breakers  *breaker.Set
	hedger    *hedge.Hedger
	resolvers []resolver.Builder // of all connections: those to one target share its watch
	checked   func() error       // that health checks run

	mu     sync.Mutex
	conns  map[*grpc.ClientConn]*outgoing
	closed bool
	begin  sync.Once
	flush  func() error
}

// NewClient makes a client that belongs to no service, such as a command's. It
// does no I/O and starts nothing until it dials. Close it.
func NewClient(name string, cfg Config, opts ...Option) (*Client, error) {
	// It listens nowhere, so the name of its process is no port's: those of one host
	// would choose the same part of a large fleet.
	cfg.InstanceID = cmp.Or(cfg.InstanceID, newInstanceID(name, ":0"))
	c, err := newCore(name, cfg, opts)
	if err != nil {
		return nil, err
	}
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	client.own = true
	return client, nil
}

func newClient(c *core) (*Client, error) {
	breakers, err := breaker.New(breaker.Config{}, breaker.WithLogger(c.log), breaker.WithRegisterer(c.tel.registry))
	if err != nil {
		return nil, fmt.Errorf("prepare circuit breakers: %w", err)
	}
	return &Client{
		core: c, breakers: breakers, hedger: hedge.New(c.tel.registry, hedge.WithCountedAttempts()),
		resolvers: c.newResolvers(), checked: sync.OnceValue(c.checkHealth),
		conns: make(map[*grpc.ClientConn]*outgoing), flush: func() error { return nil },
	}, nil
}

// checkHealth proves that client-side health checks run in this binary. A machine
// too busy to tell within the check's time is no proof of the contrary.
func (c *core) checkHealth() error {
	err := balancer.CheckHealth(context.Background())
	if errors.Is(err, context.DeadlineExceeded) {
		c.log.Warn("it could not be proved that client-side health checks run", "error", err)
		return nil
	}
	return err
}

// Dial returns a connection to a target: the name of a service, which the
// configured registry resolves; a URL such as file:///user or dns:///host:port;
// or host:port. It does not wait for a connection. The client closes it, unless
// the caller has. Options come after the chassis's own.
func (c *Client) Dial(target string, opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	resolved, err := c.target(target)
	if err != nil {
		return nil, err
	}
	if err := c.resolves(resolved); err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	creds, err := c.credentials(target, resolved)
	if err != nil {
		return nil, err
	}
	if err := c.checked(); err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fmt.Errorf("dial %s: the client is closed", target)
	}
	if c.own {
		c.begin.Do(func() { c.flush = sync.OnceValue(c.core.start()) })
	}
	c.reap()
	to := c.outgoingTo(resolved)
	chassis, err := c.dialOptions(creds, to)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	conn, err := grpc.NewClient(resolved, append(chassis, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", target, err)
	}
	// gRPC takes a URL whose scheme nothing resolves for the name of a host.
	if conn.CanonicalTarget() != resolved && strings.HasSuffix(conn.CanonicalTarget(), ":///"+resolved) {
		_ = conn.Close() // it was never used
		return nil, fmt.Errorf("dial %s: nothing resolves %s; %s", target, strings.SplitN(resolved, ":", 2)[0], c.resolvable())
	}
	c.conns[conn] = to
	return conn, nil
}

// target completes what was dialled: a bare service name goes to the registry.
func (c *Client) target(target string) (string, error) {
	name, _, _ := strings.Cut(target, "?") // parameters may hold anything
	scheme, rest, colon := strings.Cut(name, ":")
	switch {
	case target == "":
		return "", errors.New("dial: the target is empty; give a service name, host:port, or a URL such as file:///user")
	case strings.Contains(name, "://"), colon && !isPort(rest) && resolver.Get(scheme) != nil:
		return target, nil
	case colon && !isPort(rest) && c.driver != nil && scheme == c.driver.Scheme():
		return scheme + ":///" + strings.TrimPrefix(target[len(scheme)+1:], "/"), nil
	case colon:
		return "dns:///" + target, nil
	case c.driver == nil:
		return "", fmt.Errorf("dial %s: it is the name of a service, but discovery.driver is none; set it to consul or file, or dial host:port", target)
	}
	return c.driver.Scheme() + ":///" + target, nil
}

// resolves reports why the registry will never resolve a target. gRPC would tell
// the calls, which wait for it until their deadline.
func (c *Client) resolves(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return errors.Unwrap(err) // without what it repeats
	}
	for _, b := range c.resolvers {
		if b, ok := b.(*discovery.Builder); ok && b.Scheme() == u.Scheme {
			return b.Check(resolver.Target{URL: *u})
		}
	}
	return nil
}

// isPort tells a host that is called like a scheme (dns:53) from a URL without
// slashes (dns:example.com).
func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

// resolvable says what can be dialled.
func (c *Client) resolvable() string {
	if c.driver == nil {
		return "discovery.driver is none; set it, or dial host:port"
	}
	return "discovery.driver resolves " + c.driver.Scheme() + ":///service; or dial host:port"
}

// credentials chooses TLS when it is configured. Plaintext off loopback is refused
// here when the target says where it goes, and per connection otherwise.
func (c *Client) credentials(target, resolved string) (credentials.TransportCredentials, error) {
	if t := c.cfg.Client.TLS; t.enabled() {
		cfg, err := t.load("client.tls")
		if err != nil {
			return nil, err
		}
		return credentials.NewTLS(cfg), nil
	}
	if c.cfg.Insecure {
		return insecure.NewCredentials(), nil
	}
	if strings.HasPrefix(resolved, "dns:") {
		address := resolved[strings.LastIndexAny(resolved, "/")+1:]
		address = strings.TrimPrefix(address, "dns:")
		if err := checkPlaintext("dial "+target, address, false); err != nil {
			return nil, err
		}
	}
	return loopbackOnly{insecure.NewCredentials()}, nil
}

func (c *Client) dialOptions(creds credentials.TransportCredentials, to *outgoing) ([]grpc.DialOption, error) {
	cfg := &c.cfg.Client
	balancing, err := balancer.Config{Policy: cfg.LoadBalancer, HashHeader: cfg.HashHeader, Zone: c.cfg.Zone}.JSON()
	if err != nil {
		return nil, fmt.Errorf("client.load_balancer and client.hash_header: %w", err)
	}
	serviceConfig, err := c.table.ServiceConfig(balancing)
	if err != nil {
		return nil, err
	}
	return []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDisableServiceConfig(),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpcx.Connecting(cfg.ConnectTime, cfg.ConnectTime),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(int(cfg.MaxReceive)), grpc.MaxCallSendMsgSize(int(cfg.MaxSend))),
		grpc.WithMaxHeaderListSize(uint32(c.cfg.GRPC.MaxHeaderList)),
		grpc.WithStaticStreamWindowSize(int32(c.cfg.GRPC.StreamWindow)),
		grpc.WithStaticConnWindowSize(int32(c.cfg.GRPC.ConnectionWindow)),
		grpc.WithUserAgent("keelson/" + c.name),
		grpcx.IdleTimeout(cfg.IdleTimeout),
		grpcx.NoProxy(),
		grpcx.Resolvers(c.resolvers...),
		grpc.WithChainUnaryInterceptor(append([]grpc.UnaryClientInterceptor{to.unary}, c.opts.clientUnary...)...),
		grpc.WithChainStreamInterceptor(append([]grpc.StreamClientInterceptor{to.stream}, c.opts.clientStream...)...),
	}, nil
}

// Close closes every connection that the client made, and flushes what it has
// to tell. A service's client is closed by the service.
// Closing it again does nothing.
func (c *Client) Close() error {
	err := c.closeConns()
	if c.own {
		err = errors.Join(err, c.flush())
	}
	return err
}

func (c *Client) closeConns() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	var faults []error
	for conn := range c.conns {
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled {
			faults = append(faults, err)
		}
	}
	c.reap()
	return errors.Join(faults...)
}
