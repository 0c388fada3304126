// Package traces gives calls their place in a trace: W3C trace context and
// baggage in and out, a span for the calls that are sampled, and OTLP export
// that never makes a call wait.
//
// A call that is not sampled costs no span: it has its IDs, which are logged
// and passed on with the flag sampled=0, and nothing else. A span that a handler
// starts in it does not record; one started in a sampled call is its child.
//
// Spans follow the semantic conventions of OpenTelemetry 1.43 for RPC
// (rpc.system.name, rpc.method, rpc.response.status_code). No global of
// OpenTelemetry is set; a main that wants it passes [Tracing.Provider] to
// otel.SetTracerProvider.
package traces

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scope names this package as the instrumentation.
const scope = "github.com/keelson-dev/keelson/telemetry/traces"

// Tracing makes the spans of one service. All methods are safe for concurrent
// use, and on a nil Tracing do nothing.
type Tracing struct {
	cfg      Config
	ratio    atomic.Uint64 // a trace that begins here is sampled below it
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	pipe     pipeline
}

// New returns the tracing of a service. It does no I/O and starts nothing:
// [Tracing.Run] connects to the collector, if there is one. The errors are those
// of the configuration and of registering metrics.
func New(cfg Config) (*Tracing, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	t := &Tracing{cfg: cfg}
	t.SetRatio(cfg.Ratio)
	if err := t.pipe.init(cfg); err != nil {
		return nil, err
	}
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.ParentBased(&sampler{t})),
		sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithResource(cfg.resource()),
		sdktrace.WithRawSpanLimits(limits()),
	)
	if cfg.Endpoint != "" {
		t.provider.RegisterSpanProcessor(&t.pipe.gate)
	}
	t.tracer = t.provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL))
	return t, nil
}

// limits bound what one span can hold, so that the queue's length bounds memory.
func limits() sdktrace.SpanLimits {
	return sdktrace.SpanLimits{
		AttributeValueLengthLimit: 1 << 10, AttributeCountLimit: 64, EventCountLimit: 32, LinkCountLimit: 16,
		AttributePerEventCountLimit: 16, AttributePerLinkCountLimit: 16,
	}
}

func (c *Config) resource() *resource.Resource {
	var known []attribute.KeyValue
	for _, kv := range []attribute.KeyValue{
		semconv.ServiceName(c.Service), semconv.ServiceVersion(c.Version), semconv.ServiceInstanceID(c.Instance),
		semconv.DeploymentEnvironmentNameKey.String(c.Environment),
		semconv.TelemetrySDKLanguageGo, semconv.TelemetrySDKName("opentelemetry"),
	} {
		if v := kv.Value.AsString(); v != "" {
			known = append(known, kv.Key.String(text(v)))
		}
	}
	return resource.NewWithAttributes(semconv.SchemaURL, known...)
}

// Provider is the OpenTelemetry provider of the service, for handlers that
// make spans of their own.
func (t *Tracing) Provider() trace.TracerProvider {
	if t == nil {
		return noop.NewTracerProvider()
	}
	return t.provider
}

// SetRatio sets the fraction of traces that begin here which are sampled; it
// is clamped to [0, 1] and takes effect with the next call. Traces that began
// elsewhere are sampled as their caller says.
func (t *Tracing) SetRatio(ratio float64) {
	switch {
	case t == nil:
	case !(ratio > 0):
		t.ratio.Store(0)
	case ratio >= 1:
		t.ratio.Store(math.MaxUint64)
	default:
		t.ratio.Store(uint64(ratio * (1 << 63) * 2))
	}
}

// chosen decides whether a trace that begins here is sampled.
func (t *Tracing) chosen() bool {
	limit := t.ratio.Load()
	return limit == math.MaxUint64 || limit != 0 && rand.Uint64() < limit
}
