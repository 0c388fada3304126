package traces

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

// pipeline is a gate before OpenTelemetry's batch processor and one behind it:
// together they bound how many spans exist and count those that are lost.
type pipeline struct {
	cfg     Config
	gate    gate
	waiting atomic.Int64 // admitted, and not handed over yet
	away    atomic.Bool  // the collector takes nothing

	exported, dropped, failed prometheus.Counter
}

func (p *pipeline) init(cfg Config) error {
	p.cfg, p.gate.pipe = cfg, p
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keelson_trace_spans_total",
		Help: "Sampled spans by what became of them: exported, dropped because the queue was full, or failed because the collector did not take them.",
	}, []string{"result"})
	p.exported, p.dropped, p.failed = spans.WithLabelValues("exported"), spans.WithLabelValues("dropped"), spans.WithLabelValues("failed")
	if cfg.Registerer == nil {
		return nil
	}
	if err := cfg.Registerer.Register(spans); err != nil {
		return fmt.Errorf("register the metric of the trace exporter: %w", err)
	}
	return nil
}

// Run exports spans until the context ends, then what waits, within
// ShutdownTimeout. Without an endpoint it only waits. Call it once. The error
// says how many spans were lost at the end.
func (t *Tracing) Run(ctx context.Context) error {
	if t == nil || t.cfg.Endpoint == "" {
		<-ctx.Done()
		return nil
	}
	client, err := otlptracegrpc.New(context.WithoutCancel(ctx), t.cfg.options()...)
	if err != nil {
		return fmt.Errorf("make the OTLP exporter for %s: %w", t.cfg.Endpoint, err)
	}
	return t.export(ctx, client)
}

// export runs the pipeline to one exporter.
func (t *Tracing) export(ctx context.Context, to sdktrace.SpanExporter) error {
	abort, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	out := &exporter{SpanExporter: to, pipe: &t.pipe, abort: abort, done: make(chan struct{})}
	batch := sdktrace.NewBatchSpanProcessor(out,
		sdktrace.WithMaxQueueSize(t.cfg.QueueSize), sdktrace.WithMaxExportBatchSize(t.cfg.BatchSize),
		sdktrace.WithBatchTimeout(t.cfg.BatchInterval), sdktrace.WithExportTimeout(t.cfg.ExportTimeout))
	t.pipe.gate.open(batch)
	<-ctx.Done()
	t.pipe.gate.close()
	last, stop := context.WithTimeout(abort, t.cfg.ShutdownTimeout)
	defer stop()
	err := batch.Shutdown(last)
	cancel() // exports still under way end now
	<-out.done
	if err != nil {
		return fmt.Errorf("export the last spans to %s within %v: %w; is the collector up?", t.cfg.Endpoint, t.cfg.ShutdownTimeout, err)
	}
	return nil
}

func (c *Config) options() []otlptracegrpc.Option {
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithTimeout(c.ExportTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: 500 * time.Millisecond, MaxInterval: 3 * time.Second, MaxElapsedTime: c.ExportTimeout,
		}),
		otlptracegrpc.WithReconnectionPeriod(time.Second),
	}
	switch {
	case strings.Contains(c.Endpoint, "://"):
		return append(options, otlptracegrpc.WithEndpointURL(endpointURL(c.Endpoint)))
	case c.TLS != nil:
		return append(options, otlptracegrpc.WithEndpoint(c.Endpoint), otlptracegrpc.WithTLSCredentials(credentials.NewTLS(c.TLS)))
	default:
		return append(options, otlptracegrpc.WithEndpoint(c.Endpoint), otlptracegrpc.WithInsecure())
	}
}

// exporter counts what became of spans, and can be told to give up.
type exporter struct {
	sdktrace.SpanExporter
	pipe  *pipeline
	abort context.Context //nolint:containedctx // ends all exports at once
	done  chan struct{}
}

func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.pipe.waiting.Add(-int64(len(spans)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.abort, cancel)
	defer stop()
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.pipe.failed.Add(float64(len(spans)))
		if e.pipe.away.CompareAndSwap(false, true) {
			e.pipe.cfg.Logger.Warn("the trace collector takes no spans; they are dropped until it does",
				"endpoint", e.pipe.cfg.Endpoint, "error", err)
		}
		return nil // told; OpenTelemetry's global handler need not be
	}
	e.pipe.exported.Add(float64(len(spans)))
	if e.pipe.away.CompareAndSwap(true, false) {
		e.pipe.cfg.Logger.Info("the trace collector takes spans again", "endpoint", e.pipe.cfg.Endpoint)
	}
	return nil
}

// Shutdown is the batch processor's last act.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.done)
	err := e.SpanExporter.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return nil // its exports have been given up and counted
	}
	return err
}
