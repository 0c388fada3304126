package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/call"
	"github.com/keelson-dev/keelson/policy"
)

// lastCode is the highest code that gRPC defines; others count as UNKNOWN.
const lastCode = codes.Unauthenticated

// Method is the counters of one method at one side, looked up beforehand. It
// is safe for concurrent use, and nil counts nothing.
type Method struct {
	started, received, sent prometheus.Counter
	attempts                prometheus.Counter // a client's only
	seconds                 prometheus.Observer
	open                    prometheus.Gauge
	byCode                  [lastCode + 1]atomic.Pointer[handled]
	make                    func(codes.Code) prometheus.Counter
}

// handled boxes an interface for an atomic pointer.
type handled struct{ prometheus.Counter }

func (m *Metrics) resolve(method *policy.Method) *Method {
	labels := []string{method.Kind.String(), method.Service, method.Name}
	k := &Method{
		started:  m.started.WithLabelValues(labels...),
		received: m.received.WithLabelValues(labels...),
		sent:     m.sent.WithLabelValues(labels...),
		seconds:  m.seconds.WithLabelValues(labels...),
		make: func(c codes.Code) prometheus.Counter {
			return m.handled.WithLabelValues(append(labels[:3:3], c.String())...)
		},
	}
	if m.attempts != nil {
		k.attempts = m.attempts.WithLabelValues(labels...)
	}
	gauges := m.inFlight
	if method.Kind != policy.Unary {
		gauges = m.streams
	}
	k.open = gauges.WithLabelValues(labels...)
	k.counter(codes.OK)
	return k
}

// counter returns the counter of a code; the series begin with the first call
// that ends so, those of OK at once.
func (k *Method) counter(c codes.Code) prometheus.Counter {
	if c > lastCode {
		c = codes.Unknown
	}
	if known := k.byCode[c].Load(); known != nil {
		return known
	}
	k.byCode[c].CompareAndSwap(nil, &handled{k.make(c)})
	return k.byCode[c].Load()
}

// Begin counts that a call began. It does not allocate.
func (k *Method) Begin(*call.Call) {
	if k == nil {
		return
	}
	k.started.Inc()
	k.open.Inc()
}

// Received counts one message received, Sent one sent, when it goes through:
// the counters of long streams move while they are open. They do not allocate.
func (k *Method) Received() {
	if k != nil {
		k.received.Inc()
	}
}

// Sent counts one message sent.
func (k *Method) Sent() {
	if k != nil {
		k.sent.Inc()
	}
}

// End counts how a call ended; call.Call.End comes first. It allocates only
// for sampled calls, whose trace ID becomes the exemplar of their bucket.
func (k *Method) End(c *call.Call) {
	if k == nil {
		return
	}
	k.counter(c.Code).Inc()
	k.open.Dec()
	if k.attempts != nil {
		k.attempts.Add(float64(c.Attempts.Load()))
	}
	if c.SpanContext.IsSampled() {
		if o, ok := k.seconds.(prometheus.ExemplarObserver); ok {
			o.ObserveWithExemplar(c.Duration.Seconds(), prometheus.Labels{"trace_id": c.SpanContext.TraceID().String()})
			return
		}
	}
	k.seconds.Observe(c.Duration.Seconds())
}
