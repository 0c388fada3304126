package keelson

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/telemetry/logs"
	"github.com/keelson-dev/keelson/telemetry/metrics"
	"github.com/keelson-dev/keelson/telemetry/traces"
	"github.com/keelson-dev/keelson/telemetry/zpages"
)

// telemetry bundles the three signals and the pages that show calls.
type telemetry struct {
	registry *prometheus.Registry
	sink     *logs.Sink
	log      *logs.Log
	served   *metrics.Metrics
	called   *metrics.Metrics
	traces   *traces.Tracing
	zpages   *zpages.Pages
}

// observe makes the telemetry of a service or a client; nothing runs yet.
func (c *core) observe() error {
	t, cfg := &c.tel, &c.cfg
	t.registry = c.opts.registry
	if t.registry == nil {
		t.registry = prometheus.NewRegistry()
	}
	var faults []error
	keep := func(err error) { faults = append(faults, err) }
	pretty, color, err := logs.Style(cfg.Log.Format, c.logOutput())
	keep(err)
	t.sink, err = logs.NewSink(c.logOutput(), logs.SinkConfig{Pretty: pretty, Color: color, FlushTimeout: cfg.Drain.Stop, Registerer: t.registry})
	keep(err)
	t.log = logs.New(t.sink, logs.Config{Service: c.name, Version: cfg.Version, Instance: cfg.InstanceID, Environment: cfg.Environment})
	c.applyLog(cfg, true)
	c.log = t.log.Logger()
	buckets := cfg.Metrics.Buckets
	t.served, err = metrics.New(t.registry, metrics.Config{Side: call.Server, Buckets: buckets})
	keep(err)
	t.called, err = metrics.New(t.registry, metrics.Config{Side: call.Client, Buckets: buckets})
	keep(err)
	keep(metrics.RegisterProcess(t.registry, c.name, cfg.Version))
	if address, plain := strings.CutPrefix(cfg.Trace.Endpoint, "http://"); plain && !cfg.Trace.Insecure && !IsLoopback(address) {
		keep(fmt.Errorf("trace.endpoint: %q is plaintext off loopback; use https://, or set trace.insecure: true", cfg.Trace.Endpoint))
	}
	t.traces, err = traces.New(c.tracing())
	keep(err)
	t.zpages = zpages.New(zpages.Config{})
	return errors.Join(faults...)
}

func (c *core) tracing() traces.Config {
	cfg := traces.Config{
		Service: c.name, Version: c.cfg.Version, Instance: c.cfg.InstanceID, Environment: c.cfg.Environment,
		Endpoint: c.cfg.Trace.Endpoint, Ratio: c.cfg.Trace.Ratio, ShutdownTimeout: c.cfg.Drain.Stop, Registerer: c.tel.registry, Logger: c.log,
	}
	if !c.cfg.Trace.Insecure && !IsLoopback(cfg.Endpoint) {
		cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return cfg
}

func (c *core) logOutput() io.Writer {
	if c.opts.logOutput != nil {
		return c.opts.logOutput
	}
	return os.Stderr
}

// applyLog sets what of the log can change while the service runs.
// A level that the debug listener has set stays until the configured one
// changes.
func (c *core) applyLog(cfg *Config, newLevel bool) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); newLevel && err == nil { // checked by the configuration's enum
		c.tel.log.Level().Set(level)
	}
	c.tel.log.SetSample(cfg.Log.Sample)
}

// start runs what carries telemetry away, beside everything else and longer.
// The returned function flushes and ends it, within bounds.
func (c *core) start() (flush func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	var traceErr, logErr error
	exported := make(chan struct{})
	running.Go(func() { defer close(exported); traceErr = c.tel.traces.Run(ctx) })
	running.Go(func() { logErr = c.tel.sink.Run(context.Background()) })
	return func() error {
		cancel()
		<-exported
		if traceErr != nil {
			c.log.Warn("spans were lost at the end", "error", traceErr)
		}
		closeErr := c.tel.sink.Close()
		running.Wait()
		return errors.Join(logErr, closeErr)
	}
}
