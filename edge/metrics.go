package edge

import (
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"

	"github.com/keelson-dev/keelson/errs"
	"github.com/keelson-dev/keelson/internal/collectors"
)

// The reasons for which an edge refuses by itself; a label of metrics.
const (
	refusedConnections = "connections"             // too many of them
	refusedAddress     = "connections_per_address" // too many from one address
	refusedSlowRead    = "slow_read"               // a request came in too slowly
	refusedSlowWrite   = "slow_write"              // a client did not read
	refusedSize        = "size"                    // a body is too large
	refusedHost        = "host"                    // a name in Host that is not the edge's
	refusedOrigin      = "origin"                  // a page of an origin that may not call asked for permission
	refusedCrossSite   = "cross_site"              // a page of an origin that may not call, called
	refusedVersion     = "http_version"            // gRPC over HTTP/1.1
	refusedUnknown     = "unknown"                 // there is no such method, route or page
	refusedEncoding    = "encoding"                // a compression that nobody here knows
	refusedProtocol    = "protocol"                // a request to a method or route that is no call of it
	refusedMalformed   = "malformed"               // bytes or parameters that are no message
	refusedUndescribed = "undescribed"             // the methods of the service are not known yet
	refusedPanic       = "panic"                   // a handler panicked
)

// codeNames are the labels of gRPC's codes.
var codeNames = func() (names [17]string) {
	for i := range names {
		names[i] = errs.CodeName(codes.Code(i)) //nolint:gosec // 17 of them
	}
	return names
}()

// metrics are what an edge counts. Each counter of the hot path is looked up once.
type metrics struct {
	requests    *prometheus.CounterVec
	inFlight    [protocols]prometheus.Gauge
	received    [protocols]prometheus.Counter
	sent        [protocols]prometheus.Counter
	refusals    *prometheus.CounterVec
	connections prometheus.Gauge

	known [protocols][len(codeNames)]atomic.Pointer[prometheus.Counter]
}

// newMetrics registers them; a nil registerer is off.
func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_edge_requests_total", Help: "Requests that the edge answered, by protocol and gRPC code.",
		}, []string{"protocol", "code"})),
		refusals: collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keelson_edge_refused_total", Help: "Connections and requests that the edge refused or cut by itself, by reason.",
		}, []string{"reason"})),
		connections: collectors.Shared(reg, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "keelson_edge_connections", Help: "Connections open at the edge.",
		})),
	}
	inFlight := collectors.Shared(reg, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "keelson_edge_in_flight_requests", Help: "Requests begun at the edge and not ended, streams included, by protocol.",
	}, []string{"protocol"}))
	received := collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keelson_edge_received_bytes_total", Help: "Bytes of request bodies, by protocol.",
	}, []string{"protocol"}))
	sent := collectors.Shared(reg, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keelson_edge_sent_bytes_total", Help: "Bytes of answer bodies, by protocol.",
	}, []string{"protocol"}))
	for p := range protocols {
		label := p.String()
		m.inFlight[p] = inFlight.WithLabelValues(label)
		m.received[p] = received.WithLabelValues(label)
		m.sent[p] = sent.WithLabelValues(label)
	}
	return m
}

// refused counts what the edge refused.
func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// ended counts a request that was answered.
func (m *metrics) ended(x *exchange) {
	p, code := x.protocol, x.code
	if !x.coded {
		code = codeOf(x.status)
	}
	c := m.known[p][code].Load()
	if c == nil {
		made := m.requests.WithLabelValues(p.String(), codeNames[code])
		c = &made
		m.known[p][code].Store(c)
	}
	(*c).Inc()
	m.received[p].Add(float64(x.body.total.Load()))
	m.sent[p].Add(float64(x.sent))
	m.inFlight[p].Dec()
}

// codeOf is the gRPC code that an HTTP status stands for where no call was made, as
// google/rpc/code.proto maps them.
func codeOf(status int) codes.Code {
	switch status {
	case http.StatusBadRequest:
		return codes.InvalidArgument
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusConflict:
		return codes.Aborted
	case http.StatusPreconditionFailed:
		return codes.FailedPrecondition
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		return codes.ResourceExhausted
	case http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusUnsupportedMediaType, http.StatusHTTPVersionNotSupported:
		return codes.Unimplemented
	case http.StatusServiceUnavailable:
		return codes.Unavailable
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return codes.DeadlineExceeded
	}
	switch {
	case status >= http.StatusInternalServerError:
		return codes.Internal
	case status >= http.StatusBadRequest:
		return codes.InvalidArgument
	case status == 0:
		return codes.Canceled // nobody was answered
	default:
		return codes.OK
	}
}
