package traces

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of a zero [Config].
const (
	DefaultQueueSize       = 2048
	DefaultBatchSize       = 512
	DefaultBatchInterval   = 2 * time.Second
	DefaultExportTimeout   = 10 * time.Second
	DefaultShutdownTimeout = 3 * time.Second
)

// Config says who is traced, how much of it, and where spans go. The zero
// value works: IDs are made and passed on, and nothing is sampled or exported.
type Config struct {
	// Service, Version, Instance and Environment describe the service in every
	// span; empty ones are left out.
	Service, Version, Instance, Environment string
	// Endpoint is the OTLP collector: host:port, or a URL with http:// for
	// plaintext and https:// for TLS, whose port is 4317 when they name none.
	// Empty: no export. Headers, such as a key,
	// are taken from OTEL_EXPORTER_OTLP_HEADERS.
	Endpoint string
	// TLS secures the connection to a host:port; nil: plaintext.
	TLS *tls.Config
	// Ratio is the fraction of traces beginning here that are sampled.
	// Zero: none.
	Ratio float64
	// QueueSize is how many spans wait for the collector at most, those under
	// way included; more are dropped and counted. Zero: 2048, some 4 MiB.
	QueueSize int
	// BatchSize is how many spans one export holds at most. Zero: 512.
	BatchSize int
	// BatchInterval is the longest that a span waits for others. Zero: 2 s.
	BatchInterval time.Duration
	// ExportTimeout bounds one export, its retries included. Zero: 10 s.
	ExportTimeout time.Duration
	// ShutdownTimeout bounds the last exports of an orderly stop. Zero: 3 s.
	ShutdownTimeout time.Duration
	// Registerer takes keelson_trace_spans_total, by result; nil: off.
	Registerer prometheus.Registerer
	// Logger hears, once per outage, that the collector takes nothing; nil: off.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.QueueSize <= 0 {
		c.QueueSize = DefaultQueueSize
	}
	if c.BatchSize <= 0 {
		c.BatchSize = DefaultBatchSize
	}
	c.BatchSize = min(c.BatchSize, c.QueueSize)
	for d, v := range map[*time.Duration]time.Duration{
		&c.BatchInterval: DefaultBatchInterval, &c.ExportTimeout: DefaultExportTimeout, &c.ShutdownTimeout: DefaultShutdownTimeout,
	} {
		if *d <= 0 {
			*d = v
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c *Config) validate() error {
	var faults []error
	if !(c.Ratio >= 0 && c.Ratio <= 1) {
		faults = append(faults, fmt.Errorf("trace ratio is %v; valid are 0 (none) to 1 (all)", c.Ratio))
	}
	if c.Endpoint != "" {
		faults = append(faults, checkEndpoint(c.Endpoint))
	}
	return errors.Join(faults...)
}

// defaultPort is that of OTLP over gRPC.
const defaultPort = "4317"

// checkEndpoint refuses what the exporter would take for something else: it
// falls back to its own default when an endpoint does not parse.
func checkEndpoint(endpoint string) error {
	if !strings.Contains(endpoint, "://") {
		_, port, err := net.SplitHostPort(endpoint)
		switch {
		case err != nil:
			return fmt.Errorf("trace endpoint %q: %w; write host:port, or http://host:port", endpoint, err)
		case port == "" || strings.Contains(port, "/"):
			return fmt.Errorf("trace endpoint %q has no port; write host:%s, or http://host:%s", endpoint, defaultPort, defaultPort)
		}
		return nil
	}
	u, err := url.Parse(endpoint)
	switch {
	case err != nil:
		return fmt.Errorf("trace endpoint: %w; write host:port, or http://host:port", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("trace endpoint %q: the scheme %q is not known; use http:// for plaintext, https:// for TLS", endpoint, u.Scheme)
	case u.Hostname() == "":
		return fmt.Errorf("trace endpoint %q names no host", endpoint)
	case u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "":
		return fmt.Errorf("trace endpoint %s://%s has more than a host and a port, which OTLP over gRPC has no use for", u.Scheme, u.Host)
	}
	return nil
}

// endpointURL returns a URL with its port.
func endpointURL(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Port() != "" {
		return endpoint
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), defaultPort)
}
